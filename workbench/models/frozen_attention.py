"""Attention whose pattern is held: a linear map from the residual stream to what attention adds to it."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from .frozen_norm import FrozenNorm


@dataclass(frozen=True)
class FrozenAttention:
    """One layer's attention with observed pattern and norm scales, norms folded into the matrices.

    Value and output projections are the only matrices left; queries and keys live in the pattern. Under
    grouped-query attention the heads of a group share their value matrix: `mix` adds them up before it.

    Attributes:
        mix: pattern[h, t, s] / (ln1 scale[s] * post-norm scale[t]), laid out [kv, s, group, t].
        value: [kv, e, d], ln1 weight (and centring) folded in, transposed for pulling.
        output: [h, d, e], post-norm weight folded in, transposed for pulling.
        constant: [t, d], the output for a zero residual stream (norm, value and output biases).
    """

    mix: Float[Tensor, "kv s group t"]
    value: Float[Tensor, "kv e d"]
    output: Float[Tensor, "h d e"]
    constant: Float[Tensor, "t d"]

    def pull(self, v: Float[Tensor, "t n d"]) -> Float[Tensor, "t n d"]:
        """Covectors on attn_out become covectors on resid_pre; a prefix of the positions suffices (causality)."""
        positions, n, d = v.shape
        heads, _, width = self.output.shape
        groups = len(self.value)
        z = torch.matmul(v.reshape(1, positions * n, d), self.output)
        mix = self.mix[:, :positions, :, :positions].reshape(groups, positions, -1)
        z = torch.bmm(mix, z.view(groups, heads // groups * positions, n * width))
        rows = z.view(groups, positions * n, width).transpose(0, 1).reshape(positions * n, groups * width)
        return (rows @ self.value.reshape(-1, d)).view(positions, n, d)

    def push(self, x: Float[Tensor, "t n d"]) -> Float[Tensor, "t n d"]:
        """The linear part, applied to vectors on resid_pre of all positions (no constant)."""
        positions, n, d = x.shape
        heads, _, width = self.output.shape
        groups = len(self.value)
        value = (x.reshape(-1, d) @ self.value.reshape(-1, d).T).view(positions * n, groups, width)
        value = value.transpose(0, 1).reshape(groups, positions, n * width)
        mix = self.mix[:, :positions, :, :positions].reshape(groups, positions, -1)
        z = torch.bmm(mix.transpose(1, 2), value).view(heads, positions * n, width)
        z = z.transpose(0, 1).reshape(positions * n, heads * width)
        return (z @ self.output.transpose(1, 2).reshape(heads * width, d)).view(positions, n, d)


def freeze_attention(
    pattern: Float[Tensor, "h t s"],
    weights: Mapping[str, Tensor],
    ln1: FrozenNorm,
    post: FrozenNorm | None,
) -> FrozenAttention:
    """Fold one layer's observed attention; `weights` are the layer's canonical parameters without `blocks.{l}.`.

    `post` is the norm of the attention's output, in families that have one.
    """
    w_value, w_output = weights["attn.W_V"], weights["attn.W_O"]
    heads, _, d = w_output.shape
    groups = len(w_value)
    value = torch.einsum("td,kde->tke", ln1.constant, w_value)
    if "attn.b_V" in weights:
        value = value + weights["attn.b_V"]
    constant = _attend(pattern, value, w_output) + weights.get("attn.b_O", w_output.new_zeros(d))
    if post is not None:
        constant = post.push(constant[:, None])[:, 0] + post.constant
    mix = pattern / ln1.scale if post is None else pattern / ln1.scale / post.scale[:, None]
    mix = mix.view(groups, heads // groups, *pattern.shape[1:]).permute(0, 3, 1, 2).contiguous()
    output = w_output if post is None else post.fold_output(w_output)
    value_map = ln1.fold_input(w_value).transpose(1, 2).contiguous()
    return FrozenAttention(mix, value_map, output.transpose(1, 2).contiguous(), constant)


def _attend(pattern: Tensor, value: Tensor, w_output: Tensor) -> Tensor:
    value = value.repeat_interleave(len(w_output) // value.shape[1], dim=1)
    return torch.einsum("hts,she,hed->td", pattern, value, w_output)
