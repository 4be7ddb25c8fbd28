"""Activation patching: the exact effect of every node or edge, one run each."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from workbench.core import Progress, Result, Silent, Site
from workbench.models import HookedModel

from .ablation import Ablation
from .component_config import PatchConfig
from .component_model import Activations, ComponentModel, Function
from .component_scores import base_metrics, edge_result, node_result, stop_if_cancelled
from .contrast import Contrast, Pairs, contrast_of
from .intervals import mean_intervals, with_interval


@torch.no_grad()
def patch(
    model: HookedModel, pairs: Pairs, config: PatchConfig | None = None, progress: Progress | None = None
) -> Result:
    """Score every node (or edge) by what the metric loses when its output is ablated in a clean run (noising), or
    gains when its clean output is put into a corrupted run (denoising).

    Arrays: `effects` [prompts, nodes or edges]. Tables: `nodes` or `edges` with bootstrap bounds `low` and `high`,
    and with `positions` a table `positions` (node, position, score).

    Raises:
        TextError: pairs that do not fit together. SiteError: edges in a family whose heads cannot read separately.
    """
    config, progress = config or PatchConfig(), progress or Silent()
    parts = ComponentModel(model)
    contrast = contrast_of(model, pairs)
    digest = contrast.digest
    scalars = base_metrics(parts, contrast, config.batch)
    if config.direction == "denoising":
        contrast = contrast.swapped()
    sign = 1 if config.direction == "noising" else -1
    name = f"{config.direction} patching"
    if config.level == "edge":
        parts.check_edges()
        effects = sign * _edge_effects(parts, contrast, config, progress)
        scores = torch.zeros(parts.components.allowed.shape, dtype=torch.float64)
        scores[parts.components.allowed] = torch.from_numpy(effects.mean(0))
        result = edge_result(parts, name, scores, config, scalars, pairs=digest, arrays={"effects": effects})
    else:
        effects = sign * _node_effects(parts, contrast, config, progress)
        scores = torch.from_numpy(effects[:, :, 0].mean(0))
        result = node_result(parts, name, scores, config, scalars, pairs=digest, arrays={"effects": effects[:, :, 0]})
        if config.positions:
            result.tables["positions"] = _position_rows(parts, effects[:, :, 1:])
    _add_intervals(result, f"{config.level}s", config)
    return result


def _add_intervals(result: Result, table: str, config: PatchConfig) -> None:
    lows, highs = mean_intervals(result.arrays["effects"], config.bootstrap, config.confidence, config.seed)
    rows = zip(result.tables[table], lows, highs, strict=True)
    result.tables[table] = [with_interval(row, low, high) for row, low, high in rows]


def _position_rows(parts: ComponentModel, effects: np.ndarray) -> list[dict]:
    means = effects.mean(0)
    return [
        {"node": node, "position": position, "score": float(score)}
        for node, row in zip(parts.components.sources, means, strict=True)
        for position, score in enumerate(row)
    ]


def node_sites(parts: ComponentModel) -> Iterator[tuple[Site, int | None]]:
    """Site and head of every source, in their order."""
    for site in parts.sites:
        yield from (
            [(site, head) for head in range(parts.components.n_heads)] if site.kind == "attn_z" else [(site, None)]
        )


def replace(
    site: Site, head: int | None, activations: Activations, position: int | None = None
) -> tuple[Site, Callable[[Tensor], Tensor]]:
    """The function that puts other activations in the place of one node's, at one position or all."""

    def function(x: Tensor) -> Tensor:
        where = (slice(None), slice(None) if position is None else position)
        where = where if head is None else (*where, head)
        x = x.clone()
        x[where] = activations[site][where]
        return x

    return site, function


def _node_effects(parts: ComponentModel, contrast: Contrast, config: PatchConfig, progress: Progress) -> np.ndarray:
    """[prompts, nodes, 1 + positions]: the metric lost, by patching all positions and then each alone."""
    ablation = Ablation(parts, contrast, config.ablation, config.batch, progress)
    nodes = list(node_sites(parts))
    progress.phase("patching nodes", len(contrast) * len(nodes), "runs")
    length = int(contrast.lengths.max()) if config.positions else 0
    found = []
    for some in contrast.batches(config.batch):
        instead, base = ablation.activations(some), parts.value(some)
        effects = torch.zeros(len(some), len(nodes), 1 + length, dtype=torch.float64)
        here = [None, *range(some.clean.shape[1])] if config.positions else [None]
        for number, (site, head) in enumerate(nodes):
            for column, position in enumerate(here):
                functions: list[Function] = [replace(site, head, instead, position)]
                stop_if_cancelled(progress)
                effects[:, number, column] = (base - parts.value(some, functions)).double().cpu()
            progress.advance(len(some))
        found.append(effects)
    return torch.cat(found).numpy()


def _edge_effects(parts: ComponentModel, contrast: Contrast, config: PatchConfig, progress: Progress) -> np.ndarray:
    """[prompts, edges]: the metric lost by ablating each edge alone."""
    ablation = Ablation(parts, contrast, config.ablation, config.batch, progress)
    edges = parts.components.allowed.nonzero().tolist()
    progress.phase("patching edges", len(contrast) * len(edges), "runs")
    found = []
    for some in contrast.batches(config.batch):
        instead, base = ablation.outputs(some), parts.value(some)
        keep = torch.ones(parts.components.allowed.shape, dtype=instead.dtype)
        effects = torch.zeros(len(some), len(edges), dtype=torch.float64)
        for number, (reader, source) in enumerate(edges):
            stop_if_cancelled(progress)
            keep[reader, source] = 0
            effects[:, number] = (base - parts.run_edges(some, instead, keep)).double().cpu()
            keep[reader, source] = 1
            progress.advance(len(some))
        found.append(effects)
    return torch.cat(found).numpy()
