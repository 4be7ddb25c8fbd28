"""Activation patching by layer and position: where in the network the difference between two prompts sits."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.core import Progress, Result, Silent, Site, TextError
from workbench.models import HookedModel

from .component_config import PositionPatchConfig
from .component_model import ComponentModel
from .component_scores import base_metrics
from .contrast import Contrast, Pairs, contrast_of

NOTES = {
    "denoising": "recovered: share of the gap that a corrupted run wins back when one activation of the clean run is "
    "put into it.",
    "noising": "recovered: share of the gap that a clean run loses when one activation of the corrupted run is put "
    "into it.",
}


@torch.no_grad()
def patch_positions(
    model: HookedModel, pairs: Pairs, config: PositionPatchConfig | None = None, progress: Progress | None = None
) -> Result:
    """Put the activation of one site at one position of one run into the other run; as in Meng et al. 2022.

    Array `effects` [prompts, sites, positions]: by how much the metric changes (nan: past the end of a prompt, or
    not reached). Table `positions` (site, layer, position, token, corrupted, effect, recovered). Cancelled, it
    returns what it has as a partial Result.

    Raises:
        TextError: pairs that do not fit together, or whose metric is the same in both prompts.
    """
    config, progress = config or PositionPatchConfig(), progress or Silent()
    parts, contrast = ComponentModel(model), contrast_of(model, pairs)
    scalars = base_metrics(parts, contrast, config.batch)
    gap = scalars["clean"] - scalars["corrupted"]
    if abs(gap) < 1e-6 * max(1.0, abs(scalars["clean"])):
        found = f"both give {scalars['clean']:.3g}"
        raise TextError("the corrupted prompts change nothing in the metric", found, "change a word that decides it")
    sites = [Site(kind, layer) for kind in config.kinds for layer in range(model.shape.n_layers)]
    progress.phase("patching positions", len(sites) * int(contrast.lengths.sum()), "runs")
    effects = np.full((len(contrast), len(sites), contrast.clean.shape[1]), np.nan)
    runs = contrast if config.direction == "noising" else contrast.swapped()
    partial = False
    for row, pair in enumerate(runs.batches(1)):
        partial = partial or not _one_pair(parts, pair, sites, config.batch, effects[row], progress)
    scale = -gap if config.direction == "noising" else gap
    return Result(
        "position_patching",
        scalars,
        {"positions": _rows(model, contrast, sites, effects, scale)},
        {"effects": effects},
        config.model_dump(mode="json"),
        {"model": model.ref.weight_hash, "pairs": contrast.digest},
        (NOTES[config.direction],),
        partial=partial,
    )


def _one_pair(
    parts: ComponentModel, pair: Contrast, sites: list[Site], batch: int, effects: np.ndarray, progress: Progress
) -> bool:
    """Fill in [sites, positions] of one pair, many positions in one run; False when cancelled before the end."""
    source = parts.model.capture(pair.corrupted_batch, sites)
    base, length = parts.value(pair), pair.clean.shape[1]
    for number, site in enumerate(sites):
        for first in range(0, length, batch):
            if progress.cancelled():
                return False
            places = torch.arange(first, min(first + batch, length), device=base.device)
            value = parts.value(_repeated(pair, len(places)), [(site, _put(source[site][0], places))])
            effects[number, first : first + len(places)] = (value - base).double().cpu().numpy()
            progress.advance(len(places))
    return True


def _put(source: Float[Tensor, "t d"], places: Int[Tensor, " b"]) -> Callable[[Tensor], Tensor]:
    """Row i of a run gets the source's activation at position `places[i]`."""

    def function(x: Tensor) -> Tensor:
        x = x.clone()
        x[torch.arange(len(places), device=x.device), places] = source[places]
        return x

    return function


def _repeated(pair: Contrast, count: int) -> Contrast:
    ids = (pair.clean.expand(count, -1), pair.corrupted.expand(count, -1))
    rest = (pair.answers.expand(count, -1), pair.weights.expand(count, -1))
    return Contrast(*ids, pair.lengths.expand(count), *rest, pair.metric)


def _rows(model: HookedModel, contrast: Contrast, sites: list[Site], effects: np.ndarray, scale: float) -> list[dict]:
    """Means over the prompts; the tokens are those of the first."""
    words = model.tokenizer.strings
    clean, corrupted = words(contrast.clean[0].tolist()), words(contrast.corrupted[0].tolist())
    rows = []
    for number, position in np.ndindex(*effects.shape[1:]):
        seen = effects[:, number, position]
        seen = seen[np.isfinite(seen)]
        if len(seen):
            effect = float(seen.mean())
            rows.append({
                "site": sites[number].kind, "layer": sites[number].layer, "position": position,
                "token": clean[position], "corrupted": corrupted[position],
                "effect": effect, "recovered": effect / scale,
            })  # fmt: skip
    return rows
