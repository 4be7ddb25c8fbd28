"""`workbench features`: where units fire, what they write, how to find one, what they do when turned up."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from workbench.data import PackConfig
from workbench.features import CardConfig, ScanConfig, SearchConfig, SteerConfig

from .flags import settings
from .options import (
    DEFAULT_TEXT,
    DeviceOption,
    DtypeOption,
    JsonOption,
    OfflineOption,
    TextOption,
    WorkspaceOption,
)  # fmt: skip
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
    split: Annotated[Literal["train", "heldout", "all"], typer.Option(help="Part of the text.")] = "heldout",
    text: TextOption = DEFAULT_TEXT,
    model: OwnModelOption = None,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "float32",
    offline: OfflineOption = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read a text once and keep where every unit fires: examples, histograms, density, flags."""
    from workbench.recipes import scan_by_name
    from workbench.workspace import Workspace

    with TerminalProgress() as progress:
        found = scan_by_name(
            Workspace(workspace), name, config, text=text, pack=pack, split=split, model=model, device=device,
            dtype=dtype, offline=offline, progress=progress,
        )  # fmt: skip
    rows = []
    for member, width in found.members.items():
        flags = {flag: int(which.sum()) for flag, which in found.flags(member).items()}
        rows.append({"member": member, "units": width, **flags})
    if as_json:
        print_json({"name": found.manifest.name, "counted_tokens": found.counted_tokens, "members": rows})
        return
    print_table(rows, title=f"{found.manifest.name}: {found.counted_tokens:,} tokens")


@features_app.command("show")
@settings(config=CardConfig)
def show_command(
    unit: Annotated[str, typer.Argument(help="Address of a unit, such as transcoder:demo:mlp_in.12:1855.")],
    config: CardConfig,
    model: OwnModelOption = None,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "float32",
    offline: OfflineOption = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """The card of one unit: examples, what it writes as predicted and as measured, similar units, connections."""
    from workbench.core import Unit
    from workbench.recipes import card_by_name
    from workbench.workspace import Workspace

    with TerminalProgress() as progress:
        card = card_by_name(
            Workspace(workspace), Unit.parse(unit), config, model=model, device=device, dtype=dtype, offline=offline,
            progress=progress,
        )  # fmt: skip
    if as_json:
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
    label: Annotated[str | None, typer.Option(help="Words of their labels.")] = None,
    pattern: Annotated[str | None, typer.Option(help=r"Expression with one group, such as '\b(1[0-9]{3})\b'.")] = None,
    fires_on: Annotated[str | None, typer.Option("--fires-on", help="A text that they fire on.")] = None,
    writes: Annotated[str | None, typer.Option(help="A token that they write; a leading space counts.")] = None,
    contrast: Annotated[Path | None, typer.Option(help="File with a text a line, to set against --with.")] = None,
    against: Annotated[Path | None, typer.Option("--with", help="File with the other texts.")] = None,
    model: OwnModelOption = None,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "float32",
    offline: OfflineOption = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Find units in one of five ways: exactly one of the options says which."""
    from workbench.recipes import search_units_by_name
    from workbench.workspace import Workspace

    lines = {path: path.read_text(encoding="utf-8") if path else None for path in (contrast, against)}
    given: dict[Any, str | None] = {
        "label": label, "pattern": pattern, "text": fires_on, "token": writes, "contrast": lines[contrast],
    }  # fmt: skip
    chosen = [(mode, query) for mode, query in given.items() if query is not None]
    if len(chosen) != 1:
        raise typer.BadParameter("give exactly one of --label, --pattern, --fires-on, --writes, --contrast")
    ((mode, query),) = chosen
    opening = {"model": model, "device": device, "dtype": dtype, "offline": offline}
    with TerminalProgress() as progress:
        result = search_units_by_name(
            Workspace(workspace), name, mode, query, (lines[against] or "").splitlines(), config,
            progress=progress, **opening,
        )  # fmt: skip
    _show(result, as_json, ("units",))


@features_app.command("steer")
@settings(config=SteerConfig)
def steer_units_command(
    name: SetArgument,
    prompt: Annotated[str, typer.Argument(help="What is continued.")],
    config: SteerConfig,
    unit: Annotated[list[str] | None, typer.Option(help="ADDRESS=STRENGTH in sigmas, repeated.")] = None,
    edits: Annotated[Path | None, typer.Option(help="JSON file with a list of edits.")] = None,
    doses: Annotated[bool, typer.Option("--doses", help="Growing strengths instead of one.")] = False,
    target: Annotated[str | None, typer.Option(help="Token whose probability the dose curve follows.")] = None,
    model: OwnModelOption = None,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "float32",
    offline: OfflineOption = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Continue a prompt with units turned up or down, beside the wrong sign and random directions."""
    from workbench.features import SteeringEdit, edits_from_json
    from workbench.recipes import steer_units_by_name
    from workbench.workspace import Workspace

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
            Workspace(workspace), name, prompt, listed, config, doses=doses, target=target, model=model, device=device,
            dtype=dtype, offline=offline, progress=progress,
        )  # fmt: skip
    _show(result, as_json, ("edits", "runs", "next_tokens", "doses"))


def _marked(row: dict[str, Any]) -> str:
    """An example on one line, the peak in brackets."""
    parts = [f"[{token}]" if at == row["peak"] else token for at, token in enumerate(row["tokens"])]
    return "".join(parts).replace("\n", "↵")


def _show(result: Any, as_json: bool, tables: tuple[str, ...]) -> None:
    if as_json:
        print_json(result.to_json())
        return
    for table in tables:
        if rows := result.tables.get(table):
            print_table(rows, title=table)
    for line in result.notes:
        note(line)
