"""How a subnetwork answers: surprisal against the bigram's, first choices, divergence by frequency, and the loss.

Chang and Bergen (2025): r is Pearson's correlation over tokens between the surprisal of a (sub)network and that of the
bigram; tokens that the bigram gives no chance are left out. Intervals resample documents.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.data import PackedText
from workbench.models import HookedModel, TokenBatch
from workbench.subnetworks import BigramTarget, trained_positions

from .bigram_config import BigramEvalConfig
from .bootstrap import Estimate, correlation, ratio

Array = np.ndarray


@dataclass(frozen=True)
class Positions:
    """The positions of a text that count, one after the other: a token, the one after it, and what the bigram says.

    Attributes:
        surprisal: the bigram's, in nats; infinite where it gives no chance. entropy: of the bigram there.
        band: 0 for positions of the most frequent tokens, and so on, with about equally many positions in each.
    """

    current: Int[Tensor, " p"]
    following: Int[Tensor, " p"]
    document: Int[Array, " p"]
    surprisal: Float[Array, " p"]
    first: Int[Tensor, " p"]
    band: Int[Array, " p"]
    place: Int[Tensor, "p 2"]


@dataclass(frozen=True)
class Answers:
    """What one variant of the model says at the same positions: surprisals, first choices and divergences, in nats."""

    surprisal: Float[Array, " p"]
    first: Int[Tensor, " p"]
    divergence: Float[Array, " p"]


def spread_over(text: PackedText, count: int | None) -> PackedText:
    """So many sequences at equal distances."""
    if count is None or count >= len(text):
        return text
    return text.take(torch.linspace(0, len(text) - 1, count).round().long())


def _batches(model: HookedModel, text: PackedText, size: int) -> Iterator[tuple[int, TokenBatch, Tensor]]:
    bos = getattr(model.tokenizer, "bos_id", None)
    for start in range(0, len(text), size):
        tokens = TokenBatch(text.ids[start : start + size].long(), text.lengths[start : start + size].long())
        where = trained_positions(tokens, model.policy, bos)
        where &= torch.arange(where.shape[1]) < tokens.lengths[:, None] - 1
        yield start, tokens, where


def find_positions(model: HookedModel, target: BigramTarget, text: PackedText, config: BigramEvalConfig) -> Positions:
    """Every token of the text that is no BOS and has one after it, with the bigram's answer."""
    current, following, document, place = [], [], [], []
    for start, tokens, where in _batches(model, text, config.batch_sequences):
        rows, columns = where.nonzero(as_tuple=True)
        current.append(tokens.ids[rows, columns])
        following.append(tokens.ids[rows, columns + 1])
        document.append(text.document[start + rows])
        place.append(torch.stack([start + rows, columns], 1))
    now, after = torch.cat(current), torch.cat(following)
    return Positions(
        now, after, torch.cat(document).numpy(), target.surprisal(now, after).numpy(), target.first(now),
        frequency_bands(now, config.bands), torch.cat(place),
    )  # fmt: skip


def frequency_bands(tokens: Int[Tensor, " p"], bands: int) -> Int[Array, " p"]:
    """The band of every position: tokens in order of their frequency, cut where equally many positions lie."""
    _, index, counts = tokens.unique(return_inverse=True, return_counts=True)
    order = counts.argsort(descending=True, stable=True)
    before = torch.empty_like(counts)
    before[order] = counts[order].cumsum(0) - counts[order]
    return (before * bands // len(tokens)).clamp_max(bands - 1)[index].numpy()


@torch.no_grad()
def answers(
    model: HookedModel,
    target: BigramTarget,
    text: PackedText,
    config: BigramEvalConfig,
    weights: Mapping[str, Tensor] | None = None,
) -> Answers:
    """The answers of the model with these weights at the positions of `find_positions`."""
    surprisal, first, divergence = [], [], []
    for _, tokens, where in _batches(model, text, config.batch_sequences):
        logits = model.run(tokens, weights=weights or None).logits
        assert logits is not None
        found = torch.log_softmax(logits[where.to(logits.device)].float(), 1).cpu()
        rows, columns = where.nonzero(as_tuple=True)
        surprisal.append(-found.gather(1, tokens.ids[rows, columns + 1][:, None])[:, 0])
        first.append(found.argmax(1))
        wanted = target.wanted(tokens, where)
        probs, index = wanted.probs.cpu(), wanted.index.cpu()
        each = torch.special.entr(probs).sum(1)[index]
        parts = torch.arange(len(found)).split(256)
        cross = torch.cat([-(probs[index[part]] * found[part]).sum(1) for part in parts])
        divergence.append(cross - each)
    return Answers(torch.cat(surprisal).double().numpy(), torch.cat(first), torch.cat(divergence).double().numpy())


def compare(positions: Positions, found: Answers, config: BigramEvalConfig) -> dict[str, Any]:
    """One row: r, agreement in the first choice, divergence from the bigram, and the loss, with intervals."""
    finite = np.isfinite(positions.surprisal)
    same = (found.first == positions.first).numpy().astype(float)
    row: dict[str, Any] = {}
    r = correlation(positions.surprisal[finite], found.surprisal[finite], positions.document[finite], config)
    row |= _columns("r", r)
    row |= _columns("top1", mean(same, positions.document, config))
    row |= _columns("divergence", mean(found.divergence, positions.document, config))
    return row | _columns("loss", mean(found.surprisal, positions.document, config))


def by_band(positions: Positions, found: Answers, config: BigramEvalConfig) -> list[dict[str, Any]]:
    """Divergence from the bigram in every band of tokens by frequency, 0 being the most frequent ones."""
    rows = []
    for band in range(config.bands):
        here = positions.band == band
        if not here.any():
            continue
        tokens = int(positions.current[torch.from_numpy(here)].unique().numel())
        estimate = mean(found.divergence[here], positions.document[here], config)
        rows.append({"band": band, "tokens": tokens, "positions": int(here.sum()), **_columns("divergence", estimate)})
    return rows


def mean(values: Float[Array, " p"], document: Int[Array, " p"], config: BigramEvalConfig) -> Estimate:
    """Mean over positions, its interval over documents."""
    _, index = np.unique(document, return_inverse=True)
    return ratio(np.bincount(index, values), np.bincount(index).astype(float), config)


def _columns(name: str, estimate: Estimate) -> dict[str, float]:
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


def examples(
    model: HookedModel, text: PackedText, positions: Positions, whole: Answers, own: Answers, count: int
) -> list[dict[str, Any]]:
    """Tokens that the bigram explains (it expects them as the model does) and that only the context explains.

    The first kind: the model's first choice is right and the bigram's too, the likeliest first; the second: the model
    expects the token, the bigram does not, by the difference of surprisals.
    """
    gain = np.where(np.isfinite(positions.surprisal), positions.surprisal - whole.surprisal, -np.inf)
    right = ((whole.first == positions.following) & (positions.first == positions.following)).numpy()
    both = np.where(right, -np.maximum(positions.surprisal, whole.surprisal), -np.inf)
    rows = []
    for kind, score in (("explained", both), ("not explained", gain)):
        seen: set[tuple[int, int]] = set()
        for place in np.argsort(-score):
            pair = int(positions.current[place]), int(positions.following[place])
            if len(seen) >= count or not np.isfinite(score[place]):
                break
            if pair in seen:
                continue
            seen.add(pair)
            row, column = positions.place[place].tolist()
            before, token = text.ids[row, max(column - 6, 0) : column + 1].tolist(), pair[1]
            rows.append(
                {
                    "kind": kind,
                    "before": "".join(model.tokenizer.strings(before)),
                    "token": model.tokenizer.strings([token])[0],
                    "bigram": float(positions.surprisal[place]),
                    "subnetwork": float(own.surprisal[place]),
                    "model": float(whole.surprisal[place]),
                }
            )
    return rows
