"""The frozen local model: one prompt's run as explicit linear algebra."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.core import ShapeError, Site

from .frozen_attention import FrozenAttention, freeze_attention
from .frozen_norm import FrozenNorm
from .hooked import HookedModel
from .tokens import TokenBatch


@dataclass(frozen=True)
class FrozenModel:
    """One observed run with attention patterns and norm scales held: affine from MLP outputs and embeddings to logits.

    A covector on a tensor is the gradient of some scalar with respect to it; the `pull_` methods carry covectors
    one step towards the embeddings, `forward` carries vectors the other way. Public methods take [n t d]; the
    members `attention`, `mlp_norm` and `final_norm` work position first, [t n d].
    """

    tokens: Int[Tensor, " t"]
    embed: Float[Tensor, "t d"]
    mlp_in: Float[Tensor, "l t d"]
    mlp_out: Float[Tensor, "l t d"]
    resid_post_last: Float[Tensor, "t d"]
    logits: Float[Tensor, "t v"]
    attention: tuple[FrozenAttention, ...]
    mlp_norm: tuple[FrozenNorm, ...]
    final_norm: FrozenNorm
    unembed: Float[Tensor, "d v"]
    unembed_bias: Float[Tensor, " v"]
    parallel: bool

    @property
    def n_layers(self) -> int:
        return len(self.attention)

    def pull_final(self, directions: Float[Tensor, "n d"], position: int) -> Float[Tensor, "n t d"]:
        """Covectors on the last resid_post of `direction . final_norm(resid)[position]`."""
        v = directions.new_zeros(len(self.tokens), *directions.shape)
        v[position] = directions
        return self.final_norm.pull(v).transpose(0, 1)

    def pull_mlp_norm(self, layer: int, v: Float[Tensor, "n t d"]) -> Float[Tensor, "n t d"]:
        """Covectors on mlp_in become covectors on resid_mid (resid_pre in parallel blocks)."""
        return self.mlp_norm[layer].pull(v.transpose(0, 1)).transpose(0, 1)

    def pull_attention(self, layer: int, v: Float[Tensor, "n t d"]) -> Float[Tensor, "n t d"]:
        """Covectors on attn_out become covectors on resid_pre, without the identity path."""
        return self.attention[layer].pull(v.transpose(0, 1)).transpose(0, 1)

    def mlp_norm_bias(self, layer: int) -> Float[Tensor, "t d"]:
        """mlp_in for a zero residual stream."""
        return self.mlp_norm[layer].constant

    def attention_bias(self, layer: int) -> Float[Tensor, "t d"]:
        """attn_out for a zero residual stream."""
        return self.attention[layer].constant

    @property
    def final_bias(self) -> Float[Tensor, "t d"]:
        """The final norm's output for a zero residual stream."""
        return self.final_norm.constant

    def forward(
        self,
        start: Float[Tensor, "n t d"],
        mlp: Callable[[int, Float[Tensor, "n t d"]], Float[Tensor, "n t d"]],
        constants: bool = True,
    ) -> Float[Tensor, "n t d"]:
        """The final norm's output from residual streams `start`; `mlp(layer, mlp_in)` says what each MLP adds.

        Without `constants` the map is linear: it carries differences.
        """
        x = start.transpose(0, 1)
        constant = float(constants)
        for layer, (attention, norm) in enumerate(zip(self.attention, self.mlp_norm, strict=True)):
            attn_out = attention.push(x) + constant * attention.constant[:, None]
            read = x if self.parallel else x + attn_out
            mlp_in = norm.push(read) + constant * norm.constant[:, None]
            x = x + attn_out + mlp(layer, mlp_in.transpose(0, 1)).transpose(0, 1)
        return (self.final_norm.push(x) + constant * self.final_norm.constant[:, None]).transpose(0, 1)


def freeze(model: HookedModel, tokens: TokenBatch | Int[Tensor, "..."]) -> FrozenModel:
    """Observe one prompt and hold its attention patterns and norm scales.

    Computes in the model's dtype, half precision raised to float32.

    Raises:
        ShapeError: more than one prompt.
    """
    ids = _one_prompt(tokens)
    dtype = torch.float32 if model.dtype in (torch.float16, torch.bfloat16) else model.dtype
    n_layers = model.shape.n_layers
    seen = model.capture(ids[None], _sites(n_layers, model.shape.sandwich))
    caught = {site: value[0].to(dtype) for site, value in seen.items()}
    params = {name: value.detach().to(dtype) for name, value in model.params().items()}
    centred = model.shape.norm == "layer"
    final_norm = _norm(params, "ln_final", caught[Site("lnf_scale")], centred)
    layers = [_layer(layer, params, caught, centred) for layer in range(n_layers)]
    unembed = params["unembed.W_U"]
    return FrozenModel(
        tokens=ids,
        embed=caught[Site("resid_pre", 0)],
        mlp_in=torch.stack([caught[Site("mlp_in", layer)] for layer in range(n_layers)]),
        mlp_out=torch.stack([caught[Site("mlp_out", layer)] for layer in range(n_layers)]),
        resid_post_last=caught[Site("resid_post", n_layers - 1)],
        logits=caught[Site("logits")],
        attention=tuple(attention for attention, _ in layers),
        mlp_norm=tuple(norm for _, norm in layers),
        final_norm=final_norm,
        unembed=unembed,
        unembed_bias=params.get("unembed.b_U", unembed.new_zeros(unembed.shape[1])),
        parallel=model.shape.parallel,
    )


def _one_prompt(tokens: TokenBatch | Tensor) -> Tensor:
    ids = tokens
    if isinstance(tokens, TokenBatch):
        ids = tokens.ids[:, : int(tokens.lengths[0])] if len(tokens.ids) == 1 else tokens.ids
    assert isinstance(ids, Tensor)
    if ids.ndim == 2 and len(ids) == 1:
        ids = ids[0]
    if ids.ndim != 1:
        raise ShapeError("a frozen model wants one prompt [t]", found=f"found {tuple(ids.shape)}")
    return ids


def _sites(n_layers: int, sandwich: bool) -> list[Site]:
    kinds = ["attn_pattern", "mlp_in", "mlp_out", "ln1_scale", "ln2_scale", *(["ln1_post_scale"] if sandwich else [])]
    sites = [Site(kind, layer) for layer in range(n_layers) for kind in kinds]
    return [Site("resid_pre", 0), *sites, Site("resid_post", n_layers - 1), Site("lnf_scale"), Site("logits")]


def _norm(params: Mapping[str, Tensor], name: str, scale: Tensor, centred: bool) -> FrozenNorm:
    return FrozenNorm(params[f"{name}.w"], params.get(f"{name}.b"), scale.squeeze(-1), centred)


def _layer(
    layer: int, params: Mapping[str, Tensor], caught: Mapping[Site, Tensor], centred: bool
) -> tuple[FrozenAttention, FrozenNorm]:
    prefix = f"blocks.{layer}."
    weights = {name.removeprefix(prefix): value for name, value in params.items() if name.startswith(prefix)}
    ln1 = _norm(weights, "ln1", caught[Site("ln1_scale", layer)], centred)
    ln2 = _norm(weights, "ln2", caught[Site("ln2_scale", layer)], centred)
    post_scale = caught.get(Site("ln1_post_scale", layer))
    post = None if post_scale is None else _norm(weights, "ln1_post", post_scale, centred)
    return freeze_attention(caught[Site("attn_pattern", layer)], weights, ln1, post), ln2
