"""Attribution patching: the linear estimate of activation patching, for all nodes from a few gradients.

score(node) = (clean output - ablated output) . gradient of the metric at the node's output, summed over positions
(Nanda 2023; Syed et al. 2023, arXiv 2310.10348). With integrated gradients the gradient is averaged over `steps`
points between ablated and clean: of the embeddings (`ig-inputs`) or of the node's own output (`ig-activations`).
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from workbench.core import Progress, Result, Silent, Site
from workbench.models import HookedModel

from .ablation import Ablation
from .component_config import AttributionConfig
from .component_model import EMBED, Activations, ComponentModel, Function
from .component_scores import node_result, stop_if_cancelled
from .contrast import Contrast, Pairs, contrast_of


def attribution_patch(
    model: HookedModel, pairs: Pairs, config: AttributionConfig | None = None, progress: Progress | None = None
) -> Result:
    """Score every node from gradients: table `nodes`.

    Raises:
        TextError: pairs that do not fit together.
    """
    config, progress = config or AttributionConfig(), progress or Silent()
    parts = ComponentModel(model)
    contrast = contrast_of(model, pairs)
    ablation = Ablation(parts, contrast, config.ablation, config.batch, progress)
    progress.phase("attribution patching", len(contrast), "prompts")
    scores = torch.zeros(len(parts.components.sources), dtype=torch.float64)
    for some in contrast.batches(config.batch):
        scores += _score(parts, some, ablation.activations(some), config, progress) / len(contrast)
        progress.advance(len(some))
    return node_result(parts, f"attribution {config.method}", scores, config, pairs=contrast.digest)


def _score(
    parts: ComponentModel, some: Contrast, ablated: Activations, config: AttributionConfig, progress: Progress
) -> Tensor:
    clean = parts.activations(some.clean_batch)
    gradient: dict[Site, Tensor] = {}
    if config.method == "ig-activations":
        for site in parts.sites:
            gradient[site] = _mean_gradient(
                parts, some, [site], interpolations(site, clean, ablated, config.steps), progress
            )[site]
    else:
        steps = interpolations(EMBED, clean, ablated, config.steps) if config.method == "ig-inputs" else iter([[]])
        gradient = _mean_gradient(parts, some, parts.sites, steps, progress)
    scores = []
    for site in parts.sites:
        product = (clean[site] - ablated[site]) * gradient[site]
        scores.append(product.sum((0, 1, -1)).reshape(-1))
    return torch.cat(scores).double().cpu()


def interpolations(site: Site, clean: Activations, ablated: Activations, steps: int) -> Iterator[list[Function]]:
    """Functions that hold a site at k/steps of the way from ablated to clean, k = 1 to steps."""

    def hold(value: Tensor) -> Callable[[Tensor], Tensor]:
        return lambda x: value

    for step in range(1, steps + 1):
        yield [(site, hold(ablated[site] + (clean[site] - ablated[site]) * (step / steps)))]


def _mean_gradient(parts: ComponentModel, some: Contrast, sites, runs: Iterator[list[Function]], progress: Progress):
    total: dict[Site, Tensor] = {}
    count = 0
    for functions in runs:
        stop_if_cancelled(progress)
        grads, _ = parts.site_gradients(some, sites, functions)
        for site, grad in grads.items():
            if grad is not None:
                total[site] = total[site] + grad if site in total else grad
        count += 1
    return {site: value / count for site, value in total.items()}
