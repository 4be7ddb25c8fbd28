"""Before the first step: outlier limits, units, affine maps and the rows that features start from."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core import Progress, Site, child
from workbench.dictionaries import Affine, AffineFit, AffineMap, Dictionary, DictionarySet, Scale, median_norm
from workbench.store import Rows

from .config import TrainConfig
from .feed import Batch, Buffers, Feed


@dataclass
class Start:
    """What one dictionary starts from, gathered over the first chunks."""

    dictionary: Dictionary
    feed: Feed
    fit: AffineFit | None
    sample: list[Batch] = field(default_factory=list)


def prepare(
    dictionaries: DictionarySet, rows: Rows, config: TrainConfig, progress: Progress
) -> tuple[list[Feed], DictionarySet]:
    """Initialise every dictionary in the units of training.

    The first chunk sets the outlier limits (a multiple of the median norm at the written Sites) and the units;
    it and the following ones, `initial_rows` in all, give the affine map and the rows for the features.

    Returns:
        One feed for each dictionary, and the affine maps (in raw units) of those that write another Site
        than they read.
    """
    rows_per_chunk = rows.total_rows / max(rows.n_chunks, 1)
    chunks = max(1, min(rows.n_chunks, round(config.initial_rows / max(rows_per_chunk, 1))))
    progress.phase("prepare", total=chunks * len(dictionaries), unit="layers")
    buffers, starts = Buffers(), []
    for chunk in rows.chunks(0):
        for number, dictionary in enumerate(dictionaries.values()):
            inputs = {site: chunk.inputs[site].to(next(dictionary.parameters())) for site in dictionary.sizes}
            if chunk.number == 0:
                starts.append(_begin(dictionary, inputs, config))
            _gather(starts[number], inputs, chunks, buffers)
            progress.advance()
        if chunk.number + 1 >= chunks:
            break
    maps = [_initialise(start, config) for start in starts]
    name = f"{dictionaries.name} (affine map)"
    found = [_named(affine, f"{name}/{affine.reads[0]}") for affine in maps if affine is not None]
    return [start.feed for start in starts], DictionarySet(found, name)


def _begin(dictionary: Dictionary, inputs: Mapping[Site, Float[Tensor, "n d"]], config: TrainConfig) -> Start:
    limits = {}
    if config.outlier_factor is not None:
        limits = {site: config.outlier_factor * median_norm(inputs[site]) for site in dictionary.writes}
    kept = Feed({}, limits).kept({site: inputs[site] for site in dictionary.sizes})
    scales = {site: Scale.of(inputs[site][kept]) for site in dictionary.sizes}
    read, write = dictionary.reads[0], dictionary.writes[0] if dictionary.writes else dictionary.reads[0]
    single = len(dictionary.sizes) == 2 and read != write
    fit = AffineFit(dictionary.sizes[read], dictionary.sizes[write]) if single else None
    return Start(dictionary, Feed(scales, limits), fit)


def _gather(start: Start, inputs: Mapping[Site, Float[Tensor, "n d"]], chunks: int, buffers: Buffers) -> None:
    batch = start.feed.normalised(inputs, start.feed.kept(inputs), buffers)
    if start.fit is not None:
        start.fit.add(batch[start.dictionary.reads[0]], batch[start.dictionary.writes[0]])
    share = -(-max(start.dictionary.width, MEAN_ROWS) // chunks)
    start.sample.append({site: rows[:share].clone() for site, rows in batch.items()})


def _initialise(start: Start, config: TrainConfig) -> AffineMap | None:
    dictionary = start.dictionary
    sample = {site: torch.cat([part[site] for part in start.sample]) for site in start.feed.scales}
    affine = None
    if start.fit is not None:
        ridge = getattr(dictionary.config, "ridge", RIDGE)
        affine = Affine(*(part.to(dictionary.device) for part in start.fit.solve(ridge, dictionary.dtype)))
    dictionary.initialise(sample, child(config.seed, "start", str(dictionary.reads[0])), affine)
    start.sample.clear()
    if affine is None:
        return None
    found = AffineMap.of(affine.weight, affine.bias, dictionary.reads[0], dictionary.writes[0])
    found.rescale_(start.feed.scales)
    return found


def _named(dictionary: Dictionary, name: str) -> Dictionary:
    dictionary.name = name
    return dictionary


MEAN_ROWS = 2048
"""Rows kept at least, from which a dictionary without an affine map takes its starting bias."""
RIDGE = 1e-2
"""Penalty of the affine control where the dictionary's own settings name none."""
