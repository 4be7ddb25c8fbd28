"""`workbench cache`: fetched models and text."""

from typing import Annotated

import typer

from .options import JsonOption
from .terminal import note, print_json, print_table, size

cache_app = typer.Typer(help="List and clear fetched models and text.", no_args_is_help=True)


@cache_app.command("list")
def list_command(as_json: JsonOption = False) -> None:
    """List what the cache holds."""
    from workbench.workspace import cache_folder, folder_bytes

    folder = cache_folder()
    entries = sorted(folder.glob("*/*")) if folder.is_dir() else []
    rows = [{"what": str(path.relative_to(folder)), "bytes": _bytes(path, folder_bytes)} for path in entries]
    if as_json:
        print_json({"folder": str(folder), "entries": rows})
        return
    note(f"cache: {folder}")
    if rows:
        print_table([{"what": row["what"], "size": size(row["bytes"])} for row in rows])


@cache_app.command("clear")
def clear_command(yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False) -> None:
    """Delete the whole cache; everything in it can be fetched again."""
    from workbench.workspace import cache_folder, clear_cache, folder_bytes

    folder = cache_folder()
    if not yes:
        typer.confirm(f"delete {size(folder_bytes(folder))} in {folder}?", abort=True, err=True)
    note(f"{size(clear_cache())} freed")


def _bytes(path, folder_bytes) -> int:
    return folder_bytes(path) if path.is_dir() else path.stat().st_size
