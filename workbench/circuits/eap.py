"""Edge attribution patching, plain and with integrated gradients.

score(source -> reader) = (clean output of the source - its ablated output) . gradient of the metric at what the
reader reads, summed over positions (EAP: Syed et al. 2023, arXiv 2310.10348). EAP-IG averages the gradient over
`steps` runs whose embeddings lie between ablated and clean (Hanna et al. 2024, arXiv 2403.17806), or, with
`ig-activations`, over runs in which the source's own layer of heads (or its MLP) lies between its ablated and clean
outputs. Gradients are summed first and multiplied once: that product is the costly part.
"""

from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core import Progress, Result, Silent
from workbench.models import HookedModel

from .ablation import Ablation
from .attribution_patch import interpolations
from .component_config import AttributionConfig
from .component_model import EMBED, Activations, ComponentModel, Function
from .component_scores import edge_result, stop_if_cancelled
from .contrast import Contrast, Pairs, contrast_of


def eap(
    model: HookedModel, pairs: Pairs, config: AttributionConfig | None = None, progress: Progress | None = None
) -> Result:
    """Score every edge from gradients: tables `edges` and `nodes`.

    Raises:
        TextError: pairs that do not fit together. SiteError: a family whose heads cannot read separately.
    """
    config, progress = config or AttributionConfig(), progress or Silent()
    parts = ComponentModel(model)
    parts.check_edges()
    contrast = contrast_of(model, pairs)
    ablation = Ablation(parts, contrast, config.ablation, config.batch, progress)
    progress.phase("scoring edges", len(contrast), "prompts")
    scores = torch.zeros(parts.components.allowed.shape, dtype=torch.float64)
    for some in contrast.batches(config.batch):
        scores += _score(parts, some, ablation, config, progress).cpu() / len(contrast)
        progress.advance(len(some))
    return edge_result(
        parts, {"plain": "eap"}.get(config.method, f"eap-{config.method}"), scores, config, pairs=contrast.digest
    )


def _score(
    parts: ComponentModel, some: Contrast, ablation: Ablation, config: AttributionConfig, progress: Progress
) -> Float[Tensor, "readers sources"]:
    clean, ablated = parts.activations(some.clean_batch), ablation.activations(some)
    lost = parts.outputs(clean) - ablation.outputs(some, ablated)
    if config.method == "ig-activations":
        return _own_paths(parts, some, lost, clean, ablated, config.steps, progress)
    runs = interpolations(EMBED, clean, ablated, config.steps) if config.method == "ig-inputs" else [[]]
    total, count = _gradient_sum(parts, some, runs, progress)
    return _products(parts, total, lost) / count


def _gradient_sum(
    parts: ComponentModel, some: Contrast, runs: Iterable[Sequence[Function]], progress: Progress
) -> tuple[Float[Tensor, "readers n d"], int]:
    """The gradients of several runs added up, and how many they are."""
    total, count = None, 0
    for functions in runs:
        stop_if_cancelled(progress)
        gradient, _ = parts.gradients(some, functions)
        total = gradient if total is None else total.add_(gradient)
        count += 1
    assert total is not None
    return total, count


def _own_paths(
    parts: ComponentModel,
    some: Contrast,
    lost: Float[Tensor, "sources n d"],
    clean: Activations,
    ablated: Activations,
    steps: int,
    progress: Progress,
) -> Float[Tensor, "readers sources"]:
    """Every layer of heads and every MLP along its own path from ablated to clean, all else as in the clean run."""
    components = parts.components
    scores = torch.zeros(components.allowed.shape, dtype=torch.float64)
    first = 0
    for site in parts.sites:
        own = slice(first, first + (components.n_heads if site.kind == "attn_z" else 1))
        total, count = _gradient_sum(parts, some, interpolations(site, clean, ablated, steps), progress)
        scores[:, own] = (total.flatten(1) @ lost[own].flatten(1).T).double().cpu() / count
        first = own.stop
    return torch.where(components.allowed, scores, 0)


def _products(
    parts: ComponentModel, gradient: Float[Tensor, "readers n d"], lost: Float[Tensor, "sources n d"]
) -> Float[Tensor, "readers sources"]:
    """gradient . lost for every edge, layer by layer, so that sources that come later cost nothing."""
    components = parts.components
    scores = torch.zeros(components.allowed.shape, dtype=torch.float64)
    size = components.readers_per_layer
    for layer in range(components.n_layers):
        rows, seen = slice(layer * size, (layer + 1) * size), components.visible(layer, mlp=True)
        scores[rows, :seen] = (gradient[rows].flatten(1) @ lost[:seen].flatten(1).T).double().cpu()
    scores[-1] = (lost.flatten(1) @ gradient[-1].flatten()).double().cpu()
    return torch.where(components.allowed, scores, 0)
