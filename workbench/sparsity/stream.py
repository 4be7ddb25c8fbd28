"""What is counted while text streams through a model: memory that no length of text changes."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sparse_kernels import Tally, bin_edges, row_moments
from workbench.data import PackedText
from workbench.models import HookedModel, TokenBatch

BANDS = ((1, 9), (10, 99), (100, 999), (1000, None))
"""How often a token occurs in the text: bounds of the bands."""
FIRST = "first"


class Rows(NamedTuple):
    """The positions of one batch, flattened: which count, where they stand, how frequent their token is."""

    tokens: TokenBatch
    kept: Bool[Tensor, " n"]
    position: Int[Tensor, " n"]
    band: Int[Tensor, " n"]


def stream(model: HookedModel, text: PackedText, size: int, tokens: int | None = None) -> Iterator[Rows]:
    """The text in batches of like length, or so many tokens of it, spread evenly."""
    wanted = len(text) if tokens is None else min(len(text), -(-tokens * len(text) // text.n_tokens))
    chosen = torch.arange(wanted) * len(text) // wanted
    special = tuple(model.tokenizer.special_ids) if model.tokenizer is not None else ()
    mask = text.mask(model.policy, special)
    bands = token_bands(text)
    # Padding is run like any token, so batches of like length cost the least.
    chosen = chosen[torch.argsort(text.lengths[chosen], descending=True, stable=True)]
    for part in chosen.split(size):
        longest = int(text.lengths[part].max())
        ids = text.ids[part, :longest].long()
        position = torch.arange(longest).expand(ids.shape).flatten()
        batch = TokenBatch(ids, text.lengths[part].long())
        yield Rows(batch, mask[part, :longest].flatten(), position, bands[ids].flatten())


def token_bands(text: PackedText) -> Int[Tensor, " vocabulary"]:
    """The band of every token id by its count in the text; padding is not counted."""
    real = torch.arange(text.ids.shape[1]) < text.lengths[:, None]
    counts = torch.bincount(text.ids[real].long(), minlength=int(text.ids.max()) + 1)
    limits = torch.tensor([low for low, _ in BANDS[1:]])
    return torch.bucketize(counts, limits, right=True)


class NeuronCounts:
    """The activations of one MLP: firing by neuron, position and token frequency, and the histogram of sizes."""

    def __init__(self, limits: Float[Tensor, " f"], length: int) -> None:
        self.tally = Tally(limits)
        self.by_position = torch.zeros(2, length, dtype=torch.long)
        self.by_band = torch.zeros(2, len(BANDS), dtype=torch.long)
        self.largest = 0.0

    def add(self, x: Float[Tensor, "n f"], rows: Rows, start: int = 0) -> int:
        """Take in the rows of a batch from `start` on; returns where the next ones begin."""
        part = slice(start, start + len(x))
        kept = rows.kept[part]
        fired, largest = (found.cpu() for found in self.tally.add(x, kept.to(x.device)))
        ones = kept.long()
        for sums, place in ((self.by_position, rows.position[part]), (self.by_band, rows.band[part])):
            sums[0].index_add_(0, place, fired)
            sums[1].index_add_(0, place, ones)
        self.largest = max(self.largest, float(largest.max()))
        return part.stop

    @property
    def rates(self) -> Float[Tensor, " f"]:
        """The share of the tokens in which each neuron fires."""
        return self.tally.counts.double() / max(self.tally.rows, 1)

    def quantile(self, share: float) -> float:
        """The size below which this share of all values lies, by a straight line inside its bin."""
        cumulative = self.tally.histogram.double().cumsum(0)
        wanted = share * float(cumulative[-1])
        place = int(torch.searchsorted(cumulative, wanted).clamp_max(len(cumulative) - 1))
        edges = bin_edges()
        before = float(cumulative[place - 1]) if place else 0.0
        inside = (wanted - before) / max(float(cumulative[place]) - before, 1e-300)
        low, high = (0.0 if at == 0 else float(edges[at]) for at in (place, place + 1))
        return low + min(max(inside, 0.0), 1.0) * (high - low) if place else 0.0

    @property
    def zeros(self) -> float:
        """The share of all values that are exactly 0."""
        histogram = self.tally.histogram
        return float(histogram[0] / histogram.sum().clamp_min(1))


class OutlierCounts:
    """The rows of the residual stream after one layer: infinity norm and kurtosis, the first position apart."""

    def __init__(self) -> None:
        self.norm = {True: 0.0, False: 0.0}
        self._kurtosis = {True: 0.0, False: 0.0}
        self._rows = {True: 0, False: 0}

    def add(self, x: Float[Tensor, "b t d"], rows: Rows) -> None:
        most, _, variance, fourth = row_moments(x.flatten(0, 1)).cpu().unbind(1)
        kurtosis = fourth / variance.square().clamp_min(1e-30)
        for first, chosen in ((True, rows.position == 0), (False, rows.kept & (rows.position > 0))):
            if bool(chosen.any()):
                self.norm[first] = max(self.norm[first], float(most[chosen].max()))
                self._kurtosis[first] += float(kurtosis[chosen].double().sum())
                self._rows[first] += int(chosen.sum())

    def kurtosis(self, first: bool) -> float:
        """Mean over rows of the fourth central moment over the squared variance (3 for a Gaussian)."""
        return self._kurtosis[first] / self._rows[first] if self._rows[first] else float("nan")
