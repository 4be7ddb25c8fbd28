"""`workbench circuit patch-prompts`: exchange activations between a prompt and its corrupted twin."""

from typing import Annotated

import typer

from workbench.recipes import PatchPromptsConfig

from .flags import settings
from .options import DEFAULT_MODEL, ModelOption, Opening
from .terminal import TerminalProgress, note, print_json, print_table

MOST = 15


@settings(patch=PatchPromptsConfig)
def patch_prompts_command(
    prompt: Annotated[str, typer.Argument(help="The prompt whose answer is looked for.")],
    corrupted: Annotated[str, typer.Argument(help="The same prompt with other words, in as many tokens.")],
    patch: PatchPromptsConfig,
    shared: Opening,
    model: ModelOption = DEFAULT_MODEL,
    target: Annotated[str | None, typer.Option(help="One token; default: the likeliest after the prompt.")] = None,
    foil: Annotated[str | None, typer.Option(help="One token; default: the likeliest after the other one.")] = None,
    bos: Annotated[
        bool | None, typer.Option(help="Put the BOS token in front; default: as the model wants it.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the result; default: made from the prompt.")] = None,
) -> None:
    """Patch every layer and position (or head) between two prompts: what brings the answer back?"""
    from workbench.recipes import patch_prompts_by_name

    with TerminalProgress() as progress:
        result = patch_prompts_by_name(
            shared.place(), prompt, corrupted, model, patch, target=target, foil=foil, bos=bos, name=name,
            **shared.opening, progress=progress,
        )  # fmt: skip
    if shared.as_json:
        print_json(result.to_json())
        return
    clean, spoilt = result.scalars["clean"], result.scalars["corrupted"]
    pair = f"{result.params['target']!r} minus {result.params['foil']!r}"
    note(f"logit difference, {pair}: clean {clean:.3g}, corrupted {spoilt:.3g}")
    table, key = ("nodes", "score") if patch.site == "heads" else ("positions", "recovered")
    rows = sorted((row for row in result.tables[table] if row.get(key) is not None), key=lambda row: -abs(row[key]))
    print_table(rows[:MOST], title="largest effects")
    for line in result.notes:
        note(line)
    if result.partial:
        raise typer.Exit(130)
