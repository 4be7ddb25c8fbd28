"""`workbench codebook`: discrete codes inside a language model."""

from typing import Annotated

import typer

from workbench.data import PackConfig
from workbench.dictionaries import CodebookConfig
from workbench.recipes import CodebooksConfig

from .flags import settings
from .options import DEFAULT_MODEL, DEFAULT_TEXT, ModelOption, NameOption, PreciseOpening, TextOption
from .terminal import TerminalProgress, note, print_json, print_table

codebook_app = typer.Typer(help="Put discrete codes into a language model, and use them.", no_args_is_help=True)


@codebook_app.command("train")
@settings(codebook=CodebookConfig, config=CodebooksConfig, pack=PackConfig)
def train_codebooks_command(
    codebook: CodebookConfig,
    config: CodebooksConfig,
    pack: PackConfig,
    sites: Annotated[
        list[str], typer.Option("--sites", "-s", help="Sites such as attn_z.3, repeated or with commas between them.")
    ],
    shared: PreciseOpening,
    name: NameOption = "codebooks",
    model: ModelOption = DEFAULT_MODEL,
    text: TextOption = DEFAULT_TEXT,
) -> None:
    """Train codebooks in a language model; start it again to resume from the last checkpoint."""
    from workbench.recipes import train_codebooks

    place = shared.place()
    named = [site.strip() for part in sites for site in part.split(",") if site.strip()]
    with TerminalProgress() as progress:
        result = train_codebooks(
            place, name, named, codebook, config, model=model, text=text, pack=pack, **shared.opening,
            progress=progress,
        )  # fmt: skip
    if shared.as_json:
        print_json(result.to_json())
    else:
        print_table(result.tables["losses"], title="losses")
        print_table(result.tables["sites"], title="sites")
    note(f"saved as dictionaries/{name} in {place.path}" if not result.partial else "partial: run it again to go on")
    if result.partial:
        raise typer.Exit(130)
