"""Neurons beside codes: how well a single coordinate of the model would tell the same tokens."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core import Progress, Site
from workbench.data import PackedText
from workbench.models import HookedModel

from .code_config import CodeSearchConfig
from .code_marks import Pattern, mark
from .code_stream import CodeBatch, text_batches

KINDS = ("attn_z", "mlp_out")
"""Whose coordinates count as neurons (Tamkin et al. 2023: attention and MLP outputs)."""
MOST_TARGETS = 4096
"""Targets from which thresholds are taken; of more, as many spread over the text."""


class NeuronMatch(NamedTuple):
    """The most precise neuron at some recall."""

    neuron: str
    precision: float


@torch.no_grad()
def best_neurons(
    model: HookedModel,
    text: PackedText,
    pattern: Pattern,
    recalls: Sequence[float],
    targets: int,
    config: CodeSearchConfig,
    progress: Progress | None = None,
) -> list[NeuronMatch]:
    """For each recall the neuron that is right most often when its threshold gives it that recall.

    Neurons are those of the model without codebooks, over all layers; a neuron fires at or above its threshold. Two
    passes over the text, one for the thresholds and one for the counts: of the text only the targets' values are kept.
    """
    sites = tuple(Site(kind, layer) for layer in range(model.shape.n_layers) for kind in KINDS)
    stride, met, parts = -(-targets // MOST_TARGETS), 0, []
    for batch in text_batches(model, text, config, "thresholds of neurons", progress):
        marked = (mark(batch, pattern, config) & batch.mask).nonzero()
        chosen, met = marked[-met % stride :: stride], met + len(marked)
        if len(chosen):
            parts.append(_values(model, batch, sites)[chosen[:, 0], chosen[:, 1]])
    kept = torch.cat(parts).sort(0, descending=True).values
    places = [max(1, round(recall * len(kept))) - 1 for recall in recalls]
    threshold, counts = kept[places], torch.zeros(len(recalls), kept.shape[1])
    for batch in text_batches(model, text, config, "count neurons", progress):
        values = _values(model, batch, sites)[batch.mask]
        for number, own in enumerate(threshold):
            counts[number] += (values >= own).sum(0)
    hits = torch.tensor([max(1, round(recall * targets)) for recall in recalls])[:, None]
    best = (hits / counts).clamp_max(1).max(1)
    return [
        NeuronMatch(_name(model, sites, place), precision)
        for place, precision in zip(best.indices.tolist(), best.values.tolist(), strict=True)
    ]


def _values(model: HookedModel, batch: CodeBatch, sites: Sequence[Site]) -> Float[Tensor, "b t d"]:
    """All neurons side by side."""
    found = model.run(batch.tokens, sites=sites, logits=False).activations
    return torch.cat([found[site].flatten(2) for site in sites], 2).float().cpu()


def _name(model: HookedModel, sites: Sequence[Site], place: int) -> str:
    for site in sites:
        size = model.shape.row_size(site)
        if place < size:
            return f"{site}.n{place}"
        place -= size
    raise AssertionError("a neuron beyond the last site")
