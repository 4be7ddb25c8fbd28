"""Search the codes of a workspace's codebooks by name, and steer by them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from workbench.core import Progress, Result, Unit
from workbench.data import PackConfig
from workbench.features import CodeSearchConfig, code_relations, search_codes, topic_codes
from workbench.workspace import Workspace

from .code_steering import steer_codes
from .code_steering_config import PROMPTS, SteeringConfig
from .steered import open_steered


def search_by_name(
    place: Workspace,
    name: str,
    pattern: str,
    config: CodeSearchConfig | None = None,
    *,
    by: Literal["tokens", "topic"] = "tokens",
    related: int = 0,
    text: str,
    pack: PackConfig | None = None,
    split: str = "train",
    **subject: Any,
) -> Result:
    """Codes by the tokens that a capture group marks, or by the windows that match; saved as `results/<name>-codes`.

    With `related`, the codes that go with, before and after so many of the best ones are in table `relations`.
    `subject` goes to `open_steered`.

    Raises:
        ConfigError: see `search_codes` and `topic_codes`.
    """
    progress: Progress | None = subject.get("progress")
    steered, packed = open_steered(place, name, text, pack, **subject)
    part = packed.split(split)
    if by == "tokens":
        result = search_codes(steered.model, steered.books, part, pattern, config, steered.weights, progress)
    else:
        topics = {pattern: pattern}
        result = topic_codes(steered.model, steered.books, part, topics, config, steered.weights, progress)
    if related and result.tables["codes"]:
        units = [Unit.parse(row["unit"]) for row in result.tables["codes"][:related]]
        found = code_relations(steered.model, steered.books, part, units, config, steered.weights, progress)
        result = replace(result, tables={**result.tables, **found.tables}, notes=(*result.notes, *found.notes))
    result.save(place.path_of("results", f"{name}-codes"))
    return result


def steer_by_name(
    place: Workspace,
    name: str,
    topics: Mapping[str, str] | None = None,
    config: SteeringConfig | None = None,
    *,
    prompts: Sequence[str] | None = None,
    text: str,
    pack: PackConfig | None = None,
    **subject: Any,
) -> Result:
    """`steer_codes` with the codebooks of a workspace; saved, samples included, as `results/<name>-steering`."""
    progress: Progress | None = subject.get("progress")
    steered, packed = open_steered(place, name, text, pack, **subject)
    result = steer_codes(steered, packed, topics, config, prompts=prompts or PROMPTS, progress=progress)
    result.save(place.path_of("results", f"{name}-steering"))
    return result
