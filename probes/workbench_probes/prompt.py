"""One prompt, read: the residual stream captured and read out by the lens, the attention patterns scored."""

import torch
from jaxtyping import Int
from torch import Tensor

from workbench.core import Result, Site
from workbench.models import HookedModel

from .heads import head_scores
from .lens import logit_lens, readout


def prompt_lens(model: HookedModel, ids: Int[Tensor, " t"], *, target: int | None = None, top: int = 5) -> Result:
    """The logit lens (`logit_lens`) at the embedding and after every block of one prompt."""
    sites = [Site("resid_pre", 0), *(Site("resid_post", layer) for layer in range(model.shape.n_layers))]
    found = model.capture(ids[None], sites)
    residual = torch.stack([found[site][0] for site in sites])
    words = model.tokenizer.strings
    return logit_lens(residual, readout(model), ids.to(residual.device), target=target, top=top, words=words)


def prompt_heads(model: HookedModel, ids: Int[Tensor, " t"]) -> Result:
    """Scores of every head on one prompt (`head_scores`), with the patterns [l h t t] as the array `patterns`."""
    sites = [Site("attn_pattern", layer) for layer in range(model.shape.n_layers)]
    found = model.capture(ids[None], sites)
    patterns = torch.stack([found[site][0].float() for site in sites])
    result = head_scores(patterns, ids.to(patterns.device))
    result.arrays["patterns"] = patterns.cpu().numpy()
    return result
