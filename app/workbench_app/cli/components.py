"""`workbench circuit patch` and `workbench circuit discover`: a model's own heads, MLPs and edges on a task."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from workbench.circuits import PatchConfig
from workbench.recipes import DEFAULT_SCORERS, SCORERS, DiscoverConfig

from .flags import settings
from .options import DEFAULT_MODEL, ModelOption, Opening
from .terminal import TerminalProgress, note, print_json, print_table

TaskArgument = Annotated[str, typer.Argument(help="A registered task, or a task file (.toml, .json).")]
CountOption = Annotated[int, typer.Option("--count", "-n", min=1, help="Prompts of the task.")]
ResultOption = Annotated[str | None, typer.Option(help="Name in the workspace; default: made from the task.")]
HEAD_COLUMNS = ("node", "score", "low", "high")
_SCORERS = f"Repeat for several: {', '.join(SCORERS)}. [default: {', '.join(DEFAULT_SCORERS)}]"


@settings(patch=PatchConfig)
def patch_command(
    task: TaskArgument,
    patch: PatchConfig,
    shared: Opening,
    model: ModelOption = DEFAULT_MODEL,
    count: CountOption = 24,
    name: ResultOption = None,
) -> None:
    """Patch every head and MLP (or edge) between prompts and their corrupted twins, exactly."""
    from workbench.recipes import patch_by_name

    with TerminalProgress() as progress:
        result = patch_by_name(
            shared.place(), task, model, patch, count, name=name, **shared.opening, progress=progress,
        )  # fmt: skip
    if shared.as_json:
        print_json(result.to_json())
        return
    note(f"clean {result.scalars['clean']:.3g}, corrupted {result.scalars['corrupted']:.3g}")
    print_table(_largest(result.tables[f"{patch.level}s"]), title="largest effects")
    for line in result.notes:
        note(line)


@settings(discover=DiscoverConfig)
def discover_command(
    task: TaskArgument,
    discover: DiscoverConfig,
    shared: Opening,
    model: ModelOption = DEFAULT_MODEL,
    scorers: Annotated[list[str] | None, typer.Option("--scorer", "-s", help=_SCORERS, show_default=False)] = None,
    count: CountOption = 24,
    name: ResultOption = None,
    circuit_file: Annotated[
        Path | None, typer.Option(help="Write the edges of the last scorer that has some as a MIB circuit file.")
    ] = None,
) -> None:
    """Score heads, MLPs and edges by several methods; test the scores by exact ablation and by keeping circuits."""
    from workbench.recipes import discover_by_name

    place = shared.place()
    with TerminalProgress() as progress:
        result = discover_by_name(
            place, task, model, tuple(scorers or DEFAULT_SCORERS), discover, count, name=name, **shared.opening,
            circuit_file=circuit_file, progress=progress,
        )  # fmt: skip
    if shared.as_json:
        print_json(result.to_json())
        return
    for title, rows in _tables(result.tables).items():
        print_table(rows, title=title)
    for line in result.notes:
        note(line)


def _largest(rows: Sequence[Mapping[str, Any]], count: int = 15) -> list[Mapping[str, Any]]:
    return sorted(rows, key=lambda row: -abs(row["score"]))[:count]


def _tables(tables: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, list[Mapping[str, Any]]]:
    """What fits a terminal: measures with their bounds, the largest heads, faithfulness by size."""
    shown: dict[str, list[Mapping[str, Any]]] = {}
    columns = [
        {"scorer": "scorer", "level": "level", "seconds": "seconds", "rho": "rho", "auroc": "auroc"},
        {"scorer": "scorer", "cpr": "cpr", "cmd": "cmd"},
    ]
    for title, wanted in zip(("scorers", "circuits"), columns, strict=True):
        rows = [_with_bounds(row, wanted) for row in tables["scorers"]]
        key = list(wanted)[-1]
        shown[title] = [row for row in rows if row.get(key) is not None]
    if "heads" in tables:
        heads = _largest(tables["heads"], 10)
        shown["exact ablation of heads"] = [{key: row.get(key) for key in HEAD_COLUMNS} for row in heads]
    if "curve" in tables:
        shown["faithfulness"] = [*_by_size(tables["curve"]), *_by_size(tables["random"], "random circuits")]
    return {title: rows for title, rows in shown.items() if rows}


def _with_bounds(row: Mapping[str, Any], wanted: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key in wanted:
        found[key] = row.get(key)
        low, high = row.get(f"{key}_low"), row.get(f"{key}_high")
        if low is not None and high is not None:
            found[f"{key} interval"] = f"{low:.2g} to {high:.2g}"
    return found


def _by_size(rows: Sequence[Mapping[str, Any]], name: str = "") -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        label = name or f"{row['scorer']}, {row['selection']}"
        found.setdefault(label, {"edges kept": label})[f"{row['fraction']:.1%}"] = row["faithfulness"]
    return list(found.values())
