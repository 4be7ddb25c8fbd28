"""`workbench converge`: which units two models, layers or dictionaries share."""

from typing import Annotated

import typer

from workbench.data import PackConfig
from workbench_probes import ConvergentConfig

from .flags import settings
from .options import DEFAULT_TEXT, NameOption, PreciseOpening, TextOption
from .terminal import TerminalProgress, note, print_json, print_table


@settings(config=ConvergentConfig, pack=PackConfig)
def converge_command(
    config: ConvergentConfig,
    pack: PackConfig,
    first: Annotated[str, typer.Argument(help="NAME@SITE: a model's activations, or the features of a set.")],
    second: Annotated[str, typer.Argument(help="The same, to compare with.")],
    shared: PreciseOpening,
    name: NameOption = "convergence",
    text: TextOption = DEFAULT_TEXT,
) -> None:
    """Match units one to one, predict them from few others, and cluster them across both sets."""
    from workbench.recipes import converge_by_name

    with TerminalProgress() as progress:
        result = converge_by_name(
            shared.place(), first, second, text, config, pack, name=name, **shared.opening, progress=progress,
        )  # fmt: skip
    if shared.as_json:
        print_json(result.to_json())
        return
    print_table([result.scalars], title=f"{first} and {second}: mean correlation")
    print_table(result.tables["pairs"][:15], title="the best pairs")
    clusters = [{k: v for k, v in row.items() if not isinstance(v, list)} for row in result.tables["clusters"]]
    print_table(clusters, title="clusters: units of both sets")
    for line in result.notes:
        note(line)
