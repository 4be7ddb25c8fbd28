"""`workbench artifacts`: what the workspace holds."""

from typing import Annotated

import typer

from .options import JsonOption, WorkspaceOption
from .terminal import note, print_json, print_table, size

artifacts_app = typer.Typer(help="List, show and remove what the workspace holds.", no_args_is_help=True)
KindArgument = Annotated[str, typer.Argument(help="stores, dictionaries, graphs, results, reports, models or runs.")]


@artifacts_app.command("list")
def list_command(workspace: WorkspaceOption = None, as_json: JsonOption = False) -> None:
    """List every artifact, newest first."""
    from workbench.workspace import Workspace

    place = Workspace(workspace)
    rows = [
        {
            "kind": entry.folder,
            "name": entry.name,
            "size": entry.bytes if as_json else size(entry.bytes),
            "model": entry.manifest.model.id if entry.manifest and entry.manifest.model else None,
            "created": entry.manifest.created if entry.manifest else None,
            "problem": entry.problem or None,
        }
        for entry in place.list()
    ]
    if as_json:
        print_json(rows)
    elif rows:
        print_table(rows)
    else:
        note(f"nothing in {place.path} yet; `workbench demo --quick` makes a first circuit in seconds")


@artifacts_app.command("show")
def show_command(kind: KindArgument, name: str, workspace: WorkspaceOption = None) -> None:
    """Print an artifact's manifest as JSON and check its files against it."""
    from workbench.workspace import Workspace

    artifact = Workspace(workspace).open(kind, name)
    artifact.verify()
    print_json(artifact.manifest.model_dump(mode="json"))


@artifacts_app.command("rm")
def remove_command(
    kind: KindArgument,
    name: str,
    workspace: WorkspaceOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Delete an artifact."""
    from workbench.workspace import Workspace

    place = Workspace(workspace)
    place.open(kind, name)
    if not yes:
        typer.confirm(f"delete {kind}/{name} from {place.path}?", abort=True, err=True)
    note(f"{size(place.remove(kind, name))} freed")
