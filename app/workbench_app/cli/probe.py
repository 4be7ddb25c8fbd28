"""`workbench probe`: what a model's states say about labelled texts, beside everything that must be beaten."""

from typing import Annotated

import typer

from workbench.recipes import ProbeSteeringConfig, TextRowsConfig
from workbench_probes import ProbeConfig

from .flags import settings
from .options import DEFAULT_MODEL, DEFAULT_TEXT, ModelOption, NameOption, PreciseOpening, TextOption
from .terminal import TerminalProgress, note, print_json, print_table


@settings(config=ProbeConfig, rows=TextRowsConfig)
def probe_command(
    config: ProbeConfig,
    rows: TextRowsConfig,
    data: Annotated[
        str, typer.Argument(help="topics, sentiment, or a .csv, .tsv, .jsonl or .parquet with text, label[, group].")
    ],
    shared: PreciseOpening,
    sites: Annotated[
        list[str] | None,
        typer.Option("--sites", "-s", help="resid_post (all layers), mlp_out.3, attn_z.4-7 [default: resid_post]."),
    ] = None,
    dictionaries: Annotated[
        str | None, typer.Option("--dictionaries", "-d", help="A set whose features are compared, or read (sparse).")
    ] = None,
    regression: Annotated[
        bool | None, typer.Option("--regression/--classes", help="Labels are numbers, or names [default: look].")
    ] = None,
    steer: Annotated[bool, typer.Option("--steer", help="Also measure what steering by the probe does.")] = False,
    name: NameOption = "probe",
    model: ModelOption = DEFAULT_MODEL,
    text: TextOption = DEFAULT_TEXT,
) -> None:
    """Train linear probes at sites, with baselines, a control task, shuffled labels, intervals and calibration."""
    from workbench.recipes import probe_by_name

    with TerminalProgress() as progress:
        found = probe_by_name(
            shared.place(), data, sites or ["resid_post"], config, rows, name=name, model=model,
            dictionaries=dictionaries, regression=regression, steer=ProbeSteeringConfig() if steer else None, text=text,
            **shared.opening, progress=progress,
        )  # fmt: skip
    result = found.probes
    if shared.as_json:
        steering = {"steering": found.steering.to_json()} if found.steering else {}
        print_json({**result.to_json(), **steering})
    else:
        print_table([_shown(row) for row in result.tables["probes"]], title=f"{data}: {result.params['metric']}")
        print_table([_shown(row) for row in result.tables["baselines"]], title="baselines")
        if result.tables.get("features"):
            print_table(result.tables["features"][:20], title="features nearest to the probes")
        if found.steering:
            print_table([_shown(row) for row in found.steering.tables["steering"]], title="steering by the probe")
        for line in result.notes:
            note(line)
    if result.partial:
        raise typer.Exit(130)


def _shown(row: dict) -> dict:
    """Intervals behind their values, lists left out."""
    shown = {}
    for key, value in row.items():
        if key.endswith(("_low", "_high")) or isinstance(value, list):
            continue
        if f"{key}_low" in row:
            value = f"{value:.3f} [{row[f'{key}_low']:.3f}, {row[f'{key}_high']:.3f}]"
        shown[key] = value
    return shown
