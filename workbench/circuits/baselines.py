"""What any scorer of components must beat: the difference of mean outputs, and chance."""

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core import Config, Progress, Result, Silent, child
from workbench.models import HookedModel

from .component_config import ComponentConfig
from .component_model import ComponentModel
from .component_scores import edge_result, node_result, stop_if_cancelled
from .contrast import Pairs, contrast_of


@torch.no_grad()
def mean_difference(
    model: HookedModel, pairs: Pairs, config: ComponentConfig | None = None, progress: Progress | None = None
) -> Result:
    """Score every node by the distance between its mean output on clean and on corrupted prompts (all real tokens)."""
    config, progress = config or ComponentConfig(), progress or Silent()
    parts = ComponentModel(model)
    contrast = contrast_of(model, pairs)
    progress.phase("averaging outputs", len(contrast), "prompts")
    total: Float[Tensor, "sources d"] = torch.zeros(())
    for some in contrast.batches(config.batch):
        stop_if_cancelled(progress)
        clean, corrupted = (parts.activations(tokens) for tokens in (some.clean_batch, some.corrupted_batch))
        real = some.real.flatten()
        total = total + (parts.outputs(clean) - parts.outputs(corrupted))[:, real].sum(1)
        progress.advance(len(some))
    scores = total.norm(dim=-1).double().cpu() / float(contrast.lengths.sum())
    return node_result(parts, "mean difference", scores, config, pairs=contrast.digest)


class RandomConfig(Config):
    """The random scores."""

    seed: int = 0


def random_scores(model: HookedModel, seed: int = 0) -> Result:
    """Normal scores of every edge and node."""
    parts = ComponentModel(model)
    draw = torch.Generator().manual_seed(child(seed, "random-scores"))
    scores = torch.randn(parts.components.allowed.shape, generator=draw, dtype=torch.float64)
    nodes = torch.randn(len(parts.components.sources), generator=draw, dtype=torch.float64)
    return edge_result(parts, "random", scores, RandomConfig(seed=seed), nodes=nodes)
