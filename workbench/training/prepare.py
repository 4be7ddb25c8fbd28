"""Before the first step: outlier limits, units, affine maps and the rows that features start from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core import Progress, Site, child
from workbench.dictionaries import Affine, AffineFit, AffineMap, Dictionary, DictionarySet, Scale, median_norm

from .config import TrainConfig
from .feed import Batch, Buffers, Feed
from .kept import KeptRows


@dataclass
class Start:
    """What the dictionaries at the same Sites start from, gathered over the first chunks."""

    members: dict[str, Dictionary]
    feed: Feed
    fit: AffineFit | None
    sample: list[Batch] = field(default_factory=list)

    @property
    def first(self) -> Dictionary:
        return next(iter(self.members.values()))


def prepare(
    dictionaries: DictionarySet, rows: KeptRows, config: TrainConfig, progress: Progress
) -> tuple[list[Feed], DictionarySet]:
    """Initialise every dictionary in the units of training, each as if it were alone.

    The first chunk sets the outlier limits (a multiple of the median norm at the written Sites) and the units;
    it and the following ones, `initial_rows` in all, give the affine map and the rows for the features.

    Returns:
        One feed for each dictionary, and the affine maps (in raw units) of those that write another Site
        than they read.
    """
    rows_per_chunk = rows.total_rows / max(rows.n_chunks, 1)
    chunks = max(1, min(rows.n_chunks, round(config.initial_rows / max(rows_per_chunk, 1))))
    groups = _at_the_same_sites(dictionaries)
    progress.phase("prepare", total=chunks * len(groups), unit="sites")
    buffers, starts = Buffers(), []
    for chunk in rows.look():
        for number, members in enumerate(groups):
            first = next(iter(members.values()))
            inputs = {site: chunk.inputs[site].to(next(first.parameters())) for site in first.sizes}
            if chunk.number == 0:
                starts.append(_begin(members, inputs, config))
            _gather(starts[number], inputs, chunks, buffers)
            progress.advance()
        if chunk.number + 1 >= chunks:
            break
    feeds, maps = {}, {}
    for start in starts:
        maps |= _initialise(start, config, chunks)
        feeds |= dict.fromkeys(start.members, start.feed)
    title = f"{dictionaries.name} (affine map)"
    found = {name: _named(maps[name], f"{title}/{name}") for name in dictionaries if name in maps}
    return [feeds[name] for name in dictionaries], DictionarySet(found, title)


def _at_the_same_sites(dictionaries: DictionarySet) -> list[dict[str, Dictionary]]:
    groups: dict[Any, dict[str, Dictionary]] = {}
    for name, dictionary in dictionaries.items():
        sites = dictionary.reads, dictionary.writes, dictionary.dtype, dictionary.device
        groups.setdefault(sites, {})[name] = dictionary
    return list(groups.values())


def _begin(members: dict[str, Dictionary], inputs: Mapping[Site, Float[Tensor, "n d"]], config: TrainConfig) -> Start:
    dictionary = next(iter(members.values()))
    limits = {}
    if config.outlier_factor is not None:
        limits = {site: config.outlier_factor * median_norm(inputs[site]) for site in dictionary.writes}
    kept = Feed({}, limits).kept({site: inputs[site] for site in dictionary.sizes})
    scales = {site: Scale.of(inputs[site][kept]) for site in dictionary.sizes}
    read, write = dictionary.reads[0], dictionary.writes[0] if dictionary.writes else dictionary.reads[0]
    single = len(dictionary.sizes) == 2 and read != write
    fit = AffineFit(dictionary.sizes[read], dictionary.sizes[write]) if single else None
    return Start(members, Feed(scales, limits), fit)


def _gather(start: Start, inputs: Mapping[Site, Float[Tensor, "n d"]], chunks: int, buffers: Buffers) -> None:
    batch = start.feed.normalised(inputs, start.feed.kept(inputs), buffers)
    if start.fit is not None:
        start.fit.add(batch[start.first.reads[0]], batch[start.first.writes[0]])
    share = max(_share(dictionary, chunks) for dictionary in start.members.values())
    start.sample.append({site: rows[:share].clone() for site, rows in batch.items()})


def _share(dictionary: Dictionary, chunks: int) -> int:
    """Rows of each chunk that a dictionary starts from."""
    return -(-max(dictionary.starting_rows, MEAN_ROWS) // chunks)


def _initialise(start: Start, config: TrainConfig, chunks: int) -> dict[str, AffineMap]:
    maps, solved = {}, {}
    for name, dictionary in start.members.items():
        share = _share(dictionary, chunks)
        sample = {site: torch.cat([part[site][:share] for part in start.sample]) for site in start.feed.scales}
        affine = None
        if start.fit is not None:
            ridge = getattr(dictionary.config, "ridge", RIDGE)
            if ridge not in solved:
                found = start.fit.solve(ridge, dictionary.dtype)
                solved[ridge] = Affine(*(part.to(dictionary.device) for part in found))
            affine = solved[ridge]
            maps[name] = AffineMap.of(affine.weight, affine.bias, dictionary.reads[0], dictionary.writes[0])
            maps[name].rescale_(start.feed.scales)
        seed = config.seed + getattr(dictionary.config, "start_seed", 0)
        dictionary.initialise(sample, child(seed, "start", str(dictionary.reads[0])), affine)
    start.sample.clear()
    return maps


def _named(dictionary: Dictionary, name: str) -> Dictionary:
    dictionary.name = name
    return dictionary


MEAN_ROWS = 2048
"""Rows kept at least, from which a dictionary without an affine map takes its starting bias."""
RIDGE = 1e-2
"""Penalty of the affine control where the dictionary's own settings name none."""
