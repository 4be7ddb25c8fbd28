"""`workbench codebook search` and `steer`: find codes in text, and activate them while text is generated."""

from typing import Annotated, Literal

import typer

from workbench.data import PackConfig
from workbench.features import CodeSearchConfig
from workbench.recipes import SteeringConfig

from .flags import settings
from .options import DEFAULT_TEXT, PreciseOpening, TextOption
from .results import show
from .terminal import TerminalProgress

NamedOption = Annotated[str, typer.Option("--name", help="Codebooks (or other dictionaries) of the workspace.")]
OwnModelOption = Annotated[
    str | None, typer.Option("--model", "-m", help="Default: the model that the codebooks belong to.")
]


@settings(search=CodeSearchConfig, pack=PackConfig)
def search_command(
    pattern: Annotated[str, typer.Argument(help=r"Regular expression with one group, such as '\b(1[0-9]{3})\b'.")],
    search: CodeSearchConfig,
    pack: PackConfig,
    shared: PreciseOpening,
    by: Annotated[
        Literal["tokens", "topic"], typer.Option(help="Codes of the captured tokens, or of windows that match.")
    ] = "tokens",
    related: Annotated[int, typer.Option(min=0, help="Also show what goes with, before, after so many codes.")] = 0,
    name: NamedOption = "codebooks",
    split: Annotated[Literal["train", "heldout", "all"], typer.Option(help="Part of the text.")] = "train",
    text: TextOption = DEFAULT_TEXT,
    model: OwnModelOption = None,
) -> None:
    """Find the codes that fire where an expression matches, with precision, recall and count."""
    from workbench.recipes import search_by_name

    with TerminalProgress() as progress:
        result = search_by_name(
            shared.place(), name, pattern, search, by=by, related=related, text=text, pack=pack, split=split,
            model=model, **shared.opening, progress=progress,
        )  # fmt: skip
    show(result, shared.as_json, ("codes", "relations"))


@settings(steering=SteeringConfig, pack=PackConfig)
def steer_command(
    steering: SteeringConfig,
    pack: PackConfig,
    shared: PreciseOpening,
    topics: Annotated[
        list[str] | None, typer.Option("--topic", help="NAME=REGEX, repeated; none: five built-in topics.")
    ] = None,
    prompts: Annotated[
        list[str] | None, typer.Option("--prompt", help="What samples begin with, repeated; none: four built-in ones.")
    ] = None,
    name: NamedOption = "codebooks",
    text: TextOption = DEFAULT_TEXT,
    model: OwnModelOption = None,
) -> None:
    """Generate with a topic's codes active, beside random codes and none: success and what it costs."""
    from workbench.recipes import steer_by_name

    with TerminalProgress() as progress:
        result = steer_by_name(
            shared.place(), name, _topics(topics), steering, prompts=prompts or None, text=text, pack=pack,
            model=model, **shared.opening, progress=progress,
        )  # fmt: skip
    show(result, shared.as_json, ("steering",))


def _topics(given: list[str] | None) -> dict[str, str] | None:
    if not given:
        return None
    pairs = [one.partition("=") for one in given]
    if any(not name or not pattern for name, _, pattern in pairs):
        raise typer.BadParameter("write NAME=REGEX", param_hint="--topic")
    return {name: pattern for name, _, pattern in pairs}
