"""`workbench label`: what units stand for, in words, with scores on text that the words were not made from."""

from typing import Annotated

import typer

from workbench.data import PackConfig
from workbench.features import LabelConfig, ScanConfig

from .flags import settings
from .options import DEFAULT_TEXT, PreciseOpening, TextOption
from .terminal import TerminalProgress, note, print_json, print_table


@settings(config=LabelConfig, scan=ScanConfig, pack=PackConfig)
def label_command(
    config: LabelConfig,
    scan: ScanConfig,
    pack: PackConfig,
    name: Annotated[str, typer.Argument(help="Dictionaries of the workspace.")],
    member: Annotated[str, typer.Argument(help="Which of them, e.g. mlp_in.12.")],
    shared: PreciseOpening,
    explainer: Annotated[
        str, typer.Option("--explainer", help="A model, or http://... of a chat server [default: rules over tokens].")
    ] = "",
    model: Annotated[str | None, typer.Option("--model", "-m", help="Default: the model that they belong to.")] = None,
    text: TextOption = DEFAULT_TEXT,
) -> None:
    """Label units by rules over tokens and neighbours (or by a language model), scored on held-out documents."""
    from workbench.recipes import label_by_name

    place = shared.place()
    with TerminalProgress() as progress:
        result = label_by_name(
            place, name, member, config, scan, text=text, pack_config=pack, explainer=explainer, model=model,
            **shared.opening, progress=progress,
        )  # fmt: skip
    if shared.as_json:
        print_json(result.to_json())
    else:
        best = sorted(result.tables["labels"], key=lambda row: -(row["f1"] if row["f1"] == row["f1"] else -1))
        hidden = ("rules", "pattern", "learnt_f1")
        print_table([{k: v for k, v in row.items() if k not in hidden} for row in best[:30]], title="the best labels")
        print_table([{"quantity": key, "value": value} for key, value in result.scalars.items()])
        for line in result.notes:
            note(line)
    note(f"labels are in {place.path / 'workbench.db'}")
    if result.partial:
        raise typer.Exit(130)
