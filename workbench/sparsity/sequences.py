"""What takes whole sequences: how long dimensions stay active, and which heads look at nothing."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core import Site
from workbench.data import PackedText
from workbench.models import HookedModel

from .concentration import coordinates_for
from .profile_config import ProfileConfig


def active_dimensions(rows: Float[Tensor, "t d"], share: float) -> Tensor:
    """True for the fewest dimensions of every row that hold `share` of the sum of |h|."""
    counts = coordinates_for(rows, share)
    ranks = rows.abs().argsort(1, descending=True).argsort(1)
    return ranks < counts[:, None]


def activation_flow(rows: Float[Tensor, "t d"], share: float, window: int) -> dict[str, float]:
    """How many dimensions are active in a token, in all tokens of a window, and in one of them only.

    `active`: share of the dimensions that hold `share` of a token's mass. Of the dimensions that are active somewhere
    in `window` consecutive tokens, `shared` are active in all of them, `specialised` in one (nan for a shorter text).
    """
    active = active_dimensions(rows, share)
    found = {"active": float(active.double().mean()), "shared": float("nan"), "specialised": float("nan")}
    if len(rows) < window:
        return found
    counts = active.long().unfold(0, window, 1).sum(-1)
    somewhere = (counts > 0).sum().double()
    return found | {
        "shared": float((counts == window).sum() / somewhere),
        "specialised": float((counts == 1).sum() / somewhere),
    }


@torch.no_grad()
def follow_sequences(
    model: HookedModel, text: PackedText, config: ProfileConfig
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Rows of the tables `flow` (a layer each) and `heads` (none where the family shows no attention patterns)."""
    layers = range(model.shape.n_layers)
    kinds = ["resid_post"] + (["attn_pattern", "attn_z"] if "attn_pattern" in model.site_kinds() else [])
    sums: dict[int, dict[str, list[float]]] = {layer: {} for layer in layers}
    heads = torch.zeros(3, len(layers), model.shape.n_heads, dtype=torch.float64)
    longest = text.lengths.argsort(descending=True, stable=True)
    pool = longest[: max(config.sample_sequences, len(text) // 2)]
    chosen = pool[torch.arange(config.sample_sequences) * len(pool) // config.sample_sequences].unique()
    writes = [model.params()[f"blocks.{layer}.attn.W_O"].float() for layer in layers] if len(kinds) > 1 else []
    for row in chosen.tolist():
        ids = text.ids[row, : int(text.lengths[row])].long()[None]
        sites = [Site(kind, layer) for kind in kinds for layer in layers]
        found = model.capture(ids, sites)
        for layer in layers:
            rows = found[Site("resid_post", layer)][0, 1:].float()
            for key, value in activation_flow(rows, config.share, config.window).items():
                sums[layer].setdefault(key, []).append(value)
            if writes:
                pattern = found[Site("attn_pattern", layer)][0, :, 1:].float()
                z = found[Site("attn_z", layer)][0, 1:].float()
                written = torch.einsum("thz,hzd->thd", z, writes[layer]).norm(dim=2)
                heads[0, layer] += pattern[..., 0].mean(1).double().cpu()
                heads[1, layer] += written.mean(0).double().cpu()
                heads[2, layer] += (written / rows.norm(dim=1, keepdim=True)).mean(0).double().cpu()
    heads /= len(chosen)
    flow = [
        {"layer": layer, **{key: sum(values) / len(values) for key, values in sums[layer].items()}} for layer in layers
    ]
    table = [
        {
            "layer": layer,
            "head": head,
            "on_first_token": float(heads[0, layer, head]),
            "written_norm": float(heads[1, layer, head]),
            "written_over_stream": float(heads[2, layer, head]),
            "idle": bool(heads[0, layer, head] > config.sink_above),
        }
        for layer in layers
        for head in range(model.shape.n_heads)
        if writes
    ]
    return flow, table
