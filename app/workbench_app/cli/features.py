"""`workbench features`: where units fire, what they write, how to find one, what they do when turned up."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from workbench.data import PackConfig
from workbench.features import CardConfig, ScanConfig, SearchConfig, SteerConfig

from .flags import settings
from .options import DEFAULT_TEXT, PreciseOpening, TextOption
from .results import show
from .terminal import TerminalProgress, note, print_json, print_table

features_app = typer.Typer(help="Look at single units: features, codes, neurons.", no_args_is_help=True)

SetArgument = Annotated[str, typer.Argument(help="Dictionaries of the workspace, or `neurons` for the model's own.")]
OwnModelOption = Annotated[str | None, typer.Option("--model", "-m", help="Default: the model that they belong to.")]


@features_app.command("scan")
@settings(config=ScanConfig, pack=PackConfig)
def scan_command(
    name: SetArgument,
    config: ScanConfig,
    pack: PackConfig,
    shared: PreciseOpening,
    split: Annotated[Literal["train", "heldout", "all"], typer.Option(help="Part of the text.")] = "heldout",
    text: TextOption = DEFAULT_TEXT,
    model: OwnModelOption = None,
) -> None:
    """Read a text once and keep where every unit fires: examples, histograms, density, flags."""
    from workbench.recipes import scan_by_name

    with TerminalProgress() as progress:
        found = scan_by_name(
            shared.place(), name, config, text=text, pack=pack, split=split, model=model, **shared.opening,
            progress=progress,
        )  # fmt: skip
    rows = []
    for member, width in found.members.items():
        flags = {flag: int(which.sum()) for flag, which in found.flags(member).items()}
        rows.append({"member": member, "units": width, **flags})
    if shared.as_json:
        print_json({"name": found.manifest.name, "counted_tokens": found.counted_tokens, "members": rows})
        return
    print_table(rows, title=f"{found.manifest.name}: {found.counted_tokens:,} tokens")


@features_app.command("show")
@settings(config=CardConfig)
def show_command(
    unit: Annotated[str, typer.Argument(help="Address of a unit, such as transcoder:demo:mlp_in.12:1855.")],
    config: CardConfig,
    shared: PreciseOpening,
    model: OwnModelOption = None,
) -> None:
    """The card of one unit: examples, what it writes as predicted and as measured, similar units, connections."""
    from workbench.core import Unit
    from workbench.recipes import card_by_name

    with TerminalProgress() as progress:
        card = card_by_name(
            shared.place(), Unit.parse(unit), config, model=model, **shared.opening, progress=progress,
        )  # fmt: skip
    if shared.as_json:
        print_json(card.to_json())
        return
    print_table([dict(card.scalars)], title=unit)
    examples = [
        {"set": row["set"], "band": row["band"] or "", "activation": row["activation"], "text": _marked(row)}
        for row in card.tables["examples"]
    ]
    print_table(examples, title="examples")
    for table in ("effects", "measured", "similar", "connections"):
        if card.tables.get(table):
            print_table(card.tables[table], title=table)
    for line in card.notes:
        note(line)


@features_app.command("search")
@settings(config=SearchConfig)
def search_units_command(
    name: SetArgument,
    config: SearchConfig,
    shared: PreciseOpening,
    label: Annotated[str | None, typer.Option(help="Words of their labels.")] = None,
    pattern: Annotated[str | None, typer.Option(help=r"Expression with one group, such as '\b(1[0-9]{3})\b'.")] = None,
    fires_on: Annotated[str | None, typer.Option("--fires-on", help="A text that they fire on.")] = None,
    writes: Annotated[str | None, typer.Option(help="A token that they write; a leading space counts.")] = None,
    contrast: Annotated[Path | None, typer.Option(help="File with a text a line, to set against --with.")] = None,
    against: Annotated[Path | None, typer.Option("--with", help="File with the other texts.")] = None,
    model: OwnModelOption = None,
) -> None:
    """Find units in one of five ways: exactly one of the options says which."""
    from workbench.recipes import search_units_by_name

    lines = {path: path.read_text(encoding="utf-8") if path else None for path in (contrast, against)}
    given: dict[Any, str | None] = {
        "label": label, "pattern": pattern, "text": fires_on, "token": writes, "contrast": lines[contrast],
    }  # fmt: skip
    chosen = [(mode, query) for mode, query in given.items() if query is not None]
    if len(chosen) != 1:
        raise typer.BadParameter("give exactly one of --label, --pattern, --fires-on, --writes, --contrast")
    ((mode, query),) = chosen
    opening = {"model": model, "device": shared.device, "dtype": shared.dtype, "offline": shared.offline}
    with TerminalProgress() as progress:
        result = search_units_by_name(
            shared.place(), name, mode, query, (lines[against] or "").splitlines(), config,
            progress=progress, **opening,
        )  # fmt: skip
    show(result, shared.as_json, ("units",))


@features_app.command("steer")
@settings(config=SteerConfig)
def steer_units_command(
    name: SetArgument,
    prompt: Annotated[str, typer.Argument(help="What is continued.")],
    config: SteerConfig,
    shared: PreciseOpening,
    unit: Annotated[list[str] | None, typer.Option(help="ADDRESS=STRENGTH in sigmas, repeated.")] = None,
    edits: Annotated[Path | None, typer.Option(help="JSON file with a list of edits.")] = None,
    doses: Annotated[bool, typer.Option("--doses", help="Growing strengths instead of one.")] = False,
    target: Annotated[str | None, typer.Option(help="Token whose probability the dose curve follows.")] = None,
    model: OwnModelOption = None,
) -> None:
    """Continue a prompt with units turned up or down, beside the wrong sign and random directions."""
    from workbench.features import SteeringEdit, edits_from_json
    from workbench.recipes import steer_units_by_name

    listed = edits_from_json(edits.read_text(encoding="utf-8")) if edits else []
    for one in unit or []:
        address, equals, strength = one.rpartition("=")
        try:
            listed.append(SteeringEdit(unit=address, strength=float(strength)))
        except ValueError:
            raise typer.BadParameter("write ADDRESS=STRENGTH", param_hint="--unit") from None
        assert equals
    if not listed:
        raise typer.BadParameter("give --unit or --edits")
    with TerminalProgress() as progress:
        result = steer_units_by_name(
            shared.place(), name, prompt, listed, config, doses=doses, target=target, model=model, **shared.opening,
            progress=progress,
        )  # fmt: skip
    show(result, shared.as_json, ("edits", "runs", "next_tokens", "doses"))


def _marked(row: dict[str, Any]) -> str:
    """An example on one line, the peak in brackets."""
    parts = [f"[{token}]" if at == row["peak"] else token for at, token in enumerate(row["tokens"])]
    return "".join(parts).replace("\n", "↵")
