"""Direct logit attribution: what every head and MLP writes straight into a logit difference."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.core import Result, Site, TextError
from workbench.models import FrozenNorm, HookedModel

from .component_model import Activations, ComponentModel

NOTES = (
    "effect: what a component writes, through the final norm with its scale held, in logits of the target minus the "
    "foil; what later layers make of it is not counted.",
    "constants: biases of attention, of the final norm and of the unembedding. All effects add up to the difference.",
)
CAPPED = "The model caps its logits; effects add up to the difference before the cap."


@torch.no_grad()
def direct_effects(model: HookedModel, ids: Int[Tensor, " t"], target: int, foil: int, *, position: int = -1) -> Result:
    """Split the logit difference of two tokens at a position into what each component wrote (Elhage et al. 2021).

    Tables: `components` (node, layer, head, effect, norm of what it wrote), `layers` (layer -1 for the embedding;
    norm of the stream, norms of what attention and MLP added, cosine to the last layer's stream, effects of both,
    accumulated effect). Arrays [l + 1, t]: `norm`, `cosine` of the residual stream at every position.

    Raises:
        TextError: there is no such position or token.
    """
    position = _check(model, ids, target, foil, position)
    n_layers, parts = model.shape.n_layers, ComponentModel(model)
    stream_sites = [Site("resid_pre", 0), *(Site("resid_post", layer) for layer in range(n_layers))]
    written = [Site(kind, layer) for layer in range(n_layers) for kind in ("attn_out", "mlp_out")]
    wanted = dict.fromkeys([*parts.sites, *stream_sites, *written, Site("lnf_scale"), *_scales(parts)])
    found = model.capture(ids[None], list(wanted))
    stream = torch.stack([found[site][0] for site in stream_sites])
    direction, constant = _direction(model, found[Site("lnf_scale")][0, position], target, foil)
    here: Activations = {site: x[:, position : position + 1] for site, x in found.items()}
    outputs = parts.outputs(here)[:, 0]
    effects = outputs.double() @ direction
    total = float(stream[-1, position].double() @ direction) + constant
    rows = _component_rows(parts, effects, outputs.norm(dim=-1))
    rows.append(
        {"node": "constants", "layer": None, "head": None, "effect": total - float(effects.sum()), "norm": None}
    )
    norm, cosine = stream.float().norm(dim=-1), torch.cosine_similarity(stream, stream[-1:], dim=-1).float()
    added = {kind: [float(here[Site(kind, layer)].norm()) for layer in range(n_layers)]
             for kind in ("attn_out", "mlp_out")}  # fmt: skip
    words = model.tokenizer.strings
    notes = NOTES if model.shape.logit_softcap is None else (*NOTES, CAPPED)
    return Result(
        "direct_effects",
        {"difference": total},
        {"layers": _layer_rows(parts, stream[:, position].double() @ direction, effects, norm[:, position],
                               cosine[:, position], added), "components": rows},
        {"norm": norm.cpu().numpy(), "cosine": cosine.cpu().numpy()},
        {"target": words([target])[0], "foil": words([foil])[0], "target_id": target, "foil_id": foil,
         "position": position, "token": words([int(ids[position])])[0]},
        {"model": model.ref.weight_hash},
        notes,
    )  # fmt: skip


def _check(model: HookedModel, ids: Tensor, target: int, foil: int, position: int) -> int:
    if not -len(ids) <= position < len(ids):
        raise TextError(f"there is no position {position}", found=f"the prompt has {len(ids)} tokens")
    if any(not 0 <= token < model.shape.d_vocab for token in (target, foil)):
        raise TextError(f"token ids run from 0 to {model.shape.d_vocab - 1}", found=f"found {target} and {foil}")
    return position % len(ids)


def _scales(parts: ComponentModel) -> list[Site]:
    sandwich = parts.model.shape.sandwich
    return [Site("ln1_post_scale", layer) for layer in range(parts.components.n_layers)] if sandwich else []


def _direction(model: HookedModel, scale: Tensor, target: int, foil: int) -> tuple[Float[Tensor, " d"], float]:
    """The covector on the last residual stream whose product is the logit difference, and what the biases add."""
    params = {name: value.double() for name, value in model.params().items() if name.startswith("ln_final")}
    unembed, bias = model.params()["unembed.W_U"], model.params().get("unembed.b_U")
    column = (unembed[:, target] - unembed[:, foil]).double()
    norm = FrozenNorm(params["ln_final.w"], params.get("ln_final.b"), scale.double(), model.shape.norm == "layer")
    constant = norm.constant[0] @ column
    constant = constant if bias is None else constant + (bias[target] - bias[foil]).double()
    return norm.pull(column[None, None])[0, 0], float(constant)


def _component_rows(parts: ComponentModel, effects: Tensor, norms: Tensor) -> list[dict]:
    places = [(-1, None)]
    for layer in range(parts.components.n_layers):
        places += [*((layer, head) for head in range(parts.components.n_heads)), (layer, None)]
    return [
        {"node": node, "layer": layer, "head": head, "effect": effect, "norm": norm}
        for node, (layer, head), effect, norm in zip(
            parts.components.sources, places, effects.tolist(), norms.tolist(), strict=True
        )
    ]


def _layer_rows(
    parts: ComponentModel, accumulated: Tensor, effects: Tensor, norm: Tensor, cosine: Tensor, added: dict
) -> list[dict]:
    """The embedding, then every layer; attention's effect is that of its heads."""
    first = {"layer": -1, "norm": float(norm[0]), "attention_norm": None, "mlp_norm": None, "cosine": float(cosine[0]),
             "attention": 0.0, "mlp": 0.0, "accumulated": float(accumulated[0])}  # fmt: skip
    rows = [first]
    for layer in range(parts.components.n_layers):
        rows.append({
            "layer": layer,
            "norm": float(norm[layer + 1]),
            "attention_norm": added["attn_out"][layer],
            "mlp_norm": added["mlp_out"][layer],
            "cosine": float(cosine[layer + 1]),
            "attention": float(effects[parts.components.heads(layer)].sum()),
            "mlp": float(effects[parts.components.mlp(layer)]),
            "accumulated": float(accumulated[layer + 1]),
        })  # fmt: skip
    return rows
