"""`workbench sparsity`: which neurons fire, and what is lost when fewer may."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import typer

from workbench.data import PackConfig
from workbench.evaluation import DialConfig
from workbench.sparsity import ProfileConfig

from .flags import settings
from .options import (
    DEFAULT_MODEL,
    DEFAULT_TEXT,
    DeviceOption,
    DtypeOption,
    JsonOption,
    ModelOption,
    OfflineOption,
    TextOption,
    WorkspaceOption,
)  # fmt: skip
from .terminal import TerminalProgress, note, print_json, print_table

sparsity_app = typer.Typer(
    help="Which neurons fire, what fewer of them cost, and running only those.", no_args_is_help=True
)
SaveOption = Annotated[str, typer.Option("--name", help="Name of the result in the workspace.")]


@sparsity_app.command("profile")
@settings(profile=ProfileConfig, pack=PackConfig)
def profile_command(
    profile: ProfileConfig,
    pack: PackConfig,
    split: Annotated[Literal["train", "heldout", "all"], typer.Option(help="Part of the text.")] = "all",
    name: SaveOption = "sparsity-profile",
    model: ModelOption = DEFAULT_MODEL,
    text: TextOption = DEFAULT_TEXT,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "float32",
    offline: OfflineOption = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Count firing neurons, sizes and outliers of all layers in one pass over a text."""
    from workbench.recipes import profile_by_name
    from workbench.workspace import Workspace

    with TerminalProgress() as progress:
        result = profile_by_name(
            Workspace(workspace), name, profile, model=model, text=text, pack=pack, split=split,
            device=device, dtype=dtype, offline=offline, progress=progress,
        )  # fmt: skip
    show(result, as_json, ("layers", "flow"))


@sparsity_app.command("dial")
@settings(dial=DialConfig, pack=PackConfig)
def dial_command(
    dial: DialConfig,
    pack: PackConfig,
    name: SaveOption = "sparsity-dial",
    model: ModelOption = DEFAULT_MODEL,
    text: TextOption = DEFAULT_TEXT,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "float32",
    offline: OfflineOption = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure held-out loss against the share of silent neurons, rule by rule, beside a random control."""
    from workbench.recipes import dial_by_name
    from workbench.workspace import Workspace

    with TerminalProgress() as progress:
        result = dial_by_name(
            Workspace(workspace), name, dial, model=model, text=text, pack=pack,
            device=device, dtype=dtype, offline=offline, progress=progress,
        )  # fmt: skip
    show(result, as_json, ("dial", "operating_points"))


def show(result: Any, as_json: bool, tables: tuple[str, ...]) -> None:
    """Some tables of a Result, or all of it as JSON; exit code 130 where it was cut short."""
    if as_json:
        print_json(result.to_json())
    else:
        for table in tables:
            if rows := result.tables.get(table):
                print_table([_folded(row) for row in rows], title=table)
        for line in result.notes:
            note(line)
    if result.partial:
        raise typer.Exit(130)


def _folded(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row whose intervals stand behind their values."""
    shown: dict[str, Any] = {}
    for key, value in row.items():
        if key.endswith(("_low", "_high")) or value == "":
            continue
        shown[key] = value
        if (low := row.get(f"{key}_low")) is not None:
            shown[f"{key} interval"] = f"{low:.3g} to {row[f'{key}_high']:.3g}"
    return shown
