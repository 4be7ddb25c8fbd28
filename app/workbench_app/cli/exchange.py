"""`workbench import`, `export` and `push`: other libraries' dictionaries, and the hub."""

from pathlib import Path
from typing import Annotated

import typer

from workbench.data import PackConfig
from workbench.exchange import ImportConfig

from .flags import settings
from .options import JsonOption, OfflineOption, Opening, WorkspaceOption
from .terminal import TerminalProgress, note, print_json, print_table

SetArgument = Annotated[str, typer.Argument(help="Name of a dictionary set in the workspace.")]


@settings(config=ImportConfig)
def import_command(
    source: Annotated[str, typer.Argument(help="A folder, a file or hf:org/repo/path.")],
    config: ImportConfig,
    format: Annotated[str | None, typer.Option(help="Its layout [default: whichever fits].")] = None,
    name: Annotated[str | None, typer.Option(help="Name in the workspace [default: its own].")] = None,
    offline: OfflineOption = False,
    workspace: WorkspaceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Bring in dictionaries that another library wrote: SAELens, sparsify, circuit-tracer and eleven other layouts."""
    from workbench.recipes import import_by_name
    from workbench.workspace import Workspace

    with TerminalProgress() as progress:
        done = import_by_name(Workspace(workspace), source, name, format, config, offline, progress)
    if as_json:
        print_json({"format": done.format, "name": done.path.name, "path": str(done.path), "sites": done.sites,
                    "licence": done.licence, "notes": done.notes})  # fmt: skip
        return
    print_table(
        [{"name": done.path.name, "format": done.format, "licence": done.licence, "reads": ", ".join(done.sites)}]
    )
    for line in done.notes:
        note(line)


@settings(pack=PackConfig)
def export_command(
    name: SetArgument,
    pack: PackConfig,
    format: Annotated[
        str, typer.Option(help="saelens, sparsify, circuit-tracer, circuit-tracer-clt, delphi, saebench.")
    ],
    to: Annotated[Path, typer.Option("--to", help="A new or empty folder.")],
    shared: Opening,
    text: Annotated[str | None, typer.Option("--text", "-t", help="delphi: the text to encode.")] = None,
    sequences: Annotated[int, typer.Option(min=1, help="delphi: held-out sequences to encode.")] = 256,
    splits: Annotated[int, typer.Option(min=1, help="delphi: files that the latents are divided into.")] = 5,
) -> None:
    """Write dictionaries, what they saw or how they scored in another library's layout."""
    from workbench.recipes import export_by_name

    with TerminalProgress() as progress:
        done = export_by_name(
            shared.place(), name, format, to, text=text, sequences=sequences, splits=splits, pack_config=pack,
            **shared.opening, progress=progress,
        )  # fmt: skip
    if shared.as_json:
        print_json({"format": done.format, "path": str(done.path), "sites": done.sites, "notes": done.notes})
        return
    note(f"{len(done.sites)} dictionaries as {done.format} in {done.path}")
    for line in done.notes:
        note(line)


def push_command(
    name: SetArgument,
    target: Annotated[str, typer.Argument(help="hf:org/repo or hf:org/repo/path.")],
    format: Annotated[str | None, typer.Option(help="Another library's layout [default: our own].")] = None,
    licence: Annotated[str | None, typer.Option(help="Its licence; needed for an import without one.")] = None,
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
    workspace: WorkspaceOption = None,
) -> None:
    """Upload dictionaries to the Hugging Face hub (log in with `hf auth login` before)."""
    from workbench.recipes import push_by_name
    from workbench.workspace import Workspace

    with TerminalProgress() as progress:
        print(push_by_name(Workspace(workspace), name, target, format, licence, private, progress))
