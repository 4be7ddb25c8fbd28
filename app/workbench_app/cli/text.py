"""`workbench text`: known texts."""

from typing import Annotated

import typer

from .options import JsonOption
from .terminal import TerminalProgress, note, print_json, print_table

text_app = typer.Typer(help="List and fetch texts.", no_args_is_help=True)


@text_app.command("list")
def list_command(as_json: JsonOption = False) -> None:
    """List the known texts; a file, a folder or hf:dataset works as well."""
    from workbench.data import known_texts

    rows = [text.model_dump(mode="json") for text in known_texts()]
    if as_json:
        print_json(rows)
    else:
        print_table(rows)


@text_app.command("fetch")
def fetch_command(name: Annotated[str, typer.Argument(help="A known text.")]) -> None:
    """Fetch a text into the cache."""
    from workbench.data import open_text

    with TerminalProgress() as progress:
        corpus = open_text(name, progress=progress)
        documents = sum(1 for _ in corpus.documents())
    note(f"{corpus.name} is ready: {documents} documents, licence {corpus.licence}")
