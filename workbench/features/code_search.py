"""Which codes fire where a regular expression matches, and which fill the windows that are about it."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core import ConfigError, Progress, Result, Site, Unit
from workbench.data import PackedText
from workbench.dictionaries import Dictionary, DictionarySet
from workbench.models import HookedModel

from .code_config import CodeSearchConfig
from .code_marks import compile_pattern, mark
from .code_neurons import best_neurons
from .code_stream import count_codes, groups_of, stream_codes


def search_codes(
    model: HookedModel,
    dictionaries: DictionarySet,
    text: PackedText,
    pattern: str,
    config: CodeSearchConfig | None = None,
    weights: Mapping[str, Tensor] | None = None,
    progress: Progress | None = None,
) -> Result:
    """Codes by how well they tell the tokens that a regular expression's capture group marks.

    The expression runs over each sequence by itself, over the texts of its tokens side by side; the targets are the
    `tokens` of each captured group that count under the model's mask policy. recall = targets hit / targets,
    precision = targets hit / tokens on which the code is active (Tamkin et al. 2023). The text streams by: memory
    does not grow with it.

    Table `codes`: unit, member, group, code, precision, recall, f1, count, hits; by f1, best first. The first
    `neurons` rows also have `neuron` and `neuron_precision`, the best of the model's neurons at the code's recall.

    Raises:
        ConfigError: the expression is none, has not exactly one group, or marks no counted token.
    """
    config, compiled = config or CodeSearchConfig(), compile_pattern(pattern)
    active = {name: torch.zeros(member.width, dtype=torch.long) for name, member in dictionaries.items()}
    hits = {name: torch.zeros(member.width, dtype=torch.long) for name, member in dictionaries.items()}
    targets = seen = 0
    for batch in stream_codes(model, dictionaries, text, config, weights, progress):
        target = mark(batch, compiled, config) & batch.mask
        targets, seen = targets + int(target.sum()), seen + int(batch.mask.sum())
        for name, index in batch.codes.items():
            active[name] += count_codes(index[batch.mask], len(active[name]))
            hits[name] += count_codes(index[target], len(hits[name]))
    if not targets:
        raise ConfigError(f"{pattern!r} marks no token of this text", hint="try another expression, or more text")
    rows = [
        _row(dictionaries, name, code, active[name], hits[name], targets)
        for name in dictionaries
        for code in _kept(active[name], hits[name], targets, config)
    ]
    kept, shown = len(rows), sorted(rows, key=lambda row: (-row["f1"], -row["precision"], row["unit"]))[: config.rows]
    beside = shown[: config.neurons]
    if beside:
        recalls = [row["recall"] for row in beside]
        found = best_neurons(model, text, compiled, recalls, targets, config, progress)
        for row, match in zip(beside, found, strict=True):
            row |= {"neuron": match.neuron, "neuron_precision": match.precision}
    return Result(
        kind="code search",
        scalars={"targets": float(targets), "tokens": float(seen), "codes_kept": float(kept)},
        tables={"codes": shown},
        params={"pattern": pattern, **config.model_dump(mode="json"), **_source(text)},
        notes=(
            f"{targets:,} of {seen:,} counted tokens are targets ({config.tokens} token of each captured group); "
            f"a code active at random is right {targets / seen:.2%} of the time.",
        ),
    )


def topic_codes(
    model: HookedModel,
    dictionaries: DictionarySet,
    text: PackedText,
    topics: Mapping[str, str],
    config: CodeSearchConfig | None = None,
    weights: Mapping[str, Tensor] | None = None,
    progress: Progress | None = None,
) -> Result:
    """Codes by how much more they fill the windows that a topic's regular expression matches than the others.

    A code is a candidate for a window's topic if it is active on more than `share` of its counted tokens (Tamkin et
    al. 2023, who then choose by hand). Here `activity` and `elsewhere` are the shares of the counted tokens on which
    a code is active in windows that match and in those that do not, `z` is their difference over its standard error
    with windows as the samples, and codes with z of `least_z` or more are ranked by `score`: activity times log lift,
    what their activity tells about the topic. One pass serves all topics.

    Table `codes`: topic, unit, member, group, code, score, z, activity, elsewhere, lift, candidate and
    candidate_elsewhere (shares of the windows of which it is a candidate), count; per topic, best first.

    Raises:
        ConfigError: for some topic no window matches, or every one does.
    """
    config = config or CodeSearchConfig()
    patterns = {topic: compile_pattern(pattern, groups=None) for topic, pattern in topics.items()}
    sums = {(topic, name): _Shares(member.width) for topic in topics for name, member in dictionaries.items()}
    for batch in stream_codes(model, dictionaries, text, config, weights, progress):
        about = [
            {topic: pattern.search("".join(strings)) is not None for topic, pattern in patterns.items()}
            for strings in batch.strings
        ]
        for name, index in batch.codes.items():
            for row, mask, matches in zip(index, batch.mask, about, strict=True):
                if not mask.any():
                    continue
                counts, tokens = count_codes(row[mask], dictionaries[name].width), int(mask.sum())
                for topic in topics:
                    sums[topic, name].add(counts, tokens, matches[topic], config.share)
    rows: list[dict[str, Any]] = []
    windows = {topic: next(found.windows for (other, _), found in sums.items() if other == topic) for topic in topics}
    for topic, pattern in topics.items():
        if not min(windows[topic]):
            found = f"{pattern!r} matches {windows[topic][1]} of {sum(windows[topic])} windows"
            raise ConfigError(found, hint="a topic needs windows of both kinds")
        rows += _topic_rows(dictionaries, topic, {name: sums[topic, name] for name in dictionaries}, config)
    return Result(
        kind="topic codes",
        scalars={f"windows_{topic}": float(matching) for topic, (_, matching) in windows.items()}
        | {"windows": float(sum(next(iter(windows.values()), (0, 0))))},
        tables={"codes": rows},
        params={"topics": dict(topics), **config.model_dump(mode="json"), **_source(text)},
        notes=tuple(f"{topic}: {both[1]} of {sum(both)} windows match." for topic, both in windows.items()),
    )


def _topic_rows(
    dictionaries: DictionarySet, topic: str, sums: Mapping[str, "_Shares"], config: CodeSearchConfig
) -> list[dict[str, Any]]:
    rows = []
    for name, found in sums.items():
        scores, z = found.scores(), found.z()
        kept = (found.total >= config.least_count) & (z >= config.least_z)
        best = torch.where(kept, scores, -torch.inf).topk(min(config.rows, len(scores)))
        rows += [
            {"topic": topic, **_address(dictionaries, name, code), "score": score, "z": float(z[code])}
            | found.record(code)
            for score, code in zip(best.values.tolist(), best.indices.tolist(), strict=True)
            if score > 0
        ]
    return sorted(rows, key=lambda row: (-row["score"], row["unit"]))[: config.rows]


class _Shares:
    """Running sums over windows of the share of tokens on which each code is active; [0] elsewhere, [1] about it."""

    def __init__(self, width: int) -> None:
        self.total = torch.zeros(width, dtype=torch.long)
        self.windows, self.tokens = [0, 0], [0, 0]
        self._sum, self._squares = (
            torch.zeros(2, width, dtype=torch.float64),
            torch.zeros(2, width, dtype=torch.float64),
        )
        self._filled = torch.zeros(2, width, dtype=torch.long)

    def add(self, counts: Tensor, tokens: int, about: bool, share: float) -> None:
        part, side = counts.double() / tokens, int(about)
        self.total += counts
        self.windows[side] += 1
        self.tokens[side] += tokens
        self._sum[side] += part
        self._squares[side] += part.square()
        self._filled[side] += part > share

    def scores(self) -> Float[Tensor, " f"]:
        """Activity times log lift; a code that is never active elsewhere counts as if on half a token there."""
        elsewhere, activity = self._sum / torch.tensor(self.windows, dtype=torch.float64)[:, None]
        return torch.special.xlogy(activity, activity / elsewhere.clamp_min(0.5 / self.tokens[0]))

    def z(self) -> Float[Tensor, " f"]:
        n = torch.tensor(self.windows, dtype=torch.float64)[:, None]
        mean = self._sum / n
        variance = (self._squares / n - mean.square()).clamp_min(0) / n
        return (mean[1] - mean[0]) / variance.sum(0).sqrt().clamp_min(1e-9)

    def record(self, code: int) -> dict[str, Any]:
        elsewhere, activity = (float(self._sum[side, code]) / self.windows[side] for side in (0, 1))
        filled = [int(self._filled[side, code]) / self.windows[side] for side in (0, 1)]
        return {
            "activity": activity,
            "elsewhere": elsewhere,
            "lift": activity / elsewhere if elsewhere else float("inf"),
            "candidate": filled[1],
            "candidate_elsewhere": filled[0],
            "count": int(self.total[code]),
        }


def _kept(active: Tensor, hits: Tensor, targets: int, config: CodeSearchConfig) -> list[int]:
    keep = (active >= config.least_count) & (hits > 0) & (hits >= config.least_recall * targets)
    keep &= hits >= config.least_precision * active
    return keep.nonzero()[:, 0].tolist()


def _row(
    dictionaries: DictionarySet, name: str, code: int, active: Tensor, hits: Tensor, targets: int
) -> dict[str, Any]:
    hit, count = int(hits[code]), int(active[code])
    found = {"precision": hit / count, "recall": hit / targets, "f1": 2 * hit / (count + targets)}
    return _address(dictionaries, name, code) | found | {"count": count, "hits": hit}


def _address(dictionaries: DictionarySet, name: str, code: int) -> dict[str, Any]:
    member = dictionaries[name]
    size = member.width // groups_of(member)
    return {"unit": str(code_unit(dictionaries, member, code)), "member": name, "group": code // size, "code": code}


def code_unit(dictionaries: DictionarySet, member: Dictionary, code: int) -> Unit:
    """The address of a code; its Site is what the member reads."""
    site: Site = member.reads[0]
    return Unit("code", dictionaries.name.replace(":", "-"), site, code)


def _source(text: PackedText) -> dict[str, str]:
    return {"text": text.ref.id, "split": text.ref.split, "licence": text.ref.licence}
