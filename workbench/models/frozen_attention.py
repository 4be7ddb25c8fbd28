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
        value: [kv * e, d], ln1 weight (and centring) folded in, transposed for pulling.
        output: [d, h * e], post-norm weight folded in, transposed for pulling.
        constant: [t, d], the output for a zero residual stream (norm, value and output biases).
    """

    mix: Float[Tensor, "kv s group t"]
    value: Float[Tensor, "kv_e d"]
    output: Float[Tensor, "d h_e"]
    constant: Float[Tensor, "t d"]

    @property
    def n_heads(self) -> int:
        return self.mix.shape[0] * self.mix.shape[2]

    def pull(self, v: Float[Tensor, "t n d"]) -> Float[Tensor, "t n d"]:
        """Covectors on attn_out become covectors on resid_pre; a prefix of the positions suffices (causality)."""
        rows = (v.reshape(-1, v.shape[2]) @ self.output).view(*v.shape[:2], -1)
        return self.mix_back(rows) @ self.value

    def mix_back(self, z: Float[Tensor, "t n h_e"]) -> Float[Tensor, "t n kv_e"]:
        """Covectors on every head's output become covectors on the values that the heads of a group share."""
        positions, n, width = z.shape
        groups, _, size, _ = self.mix.shape
        e = width // (groups * size)
        by_group = z.view(positions, n, groups, size, e).permute(2, 3, 0, 1, 4)
        mix = self.mix[:, :positions, :, :positions].reshape(groups, positions, size * positions)
        found = torch.bmm(mix, by_group.reshape(groups, size * positions, n * e))
        return found.view(groups, positions, n, e).permute(1, 2, 0, 3).reshape(positions, n, groups * e)

    def pull_heads(self, v: Float[Tensor, "t n d"]) -> Float[Tensor, "h t n d"]:
        """`pull`, each head's part by itself."""
        positions, n, d = v.shape
        groups, _, size, _ = self.mix.shape
        e = len(self.value) // groups
        z = (v.reshape(-1, d) @ self.output).view(positions, n, groups, size, e)
        mixed = torch.einsum("ksgt,tnkge->kgsne", self.mix[:, :positions, :, :positions], z)
        found = torch.einsum("kgsne,ked->kgsnd", mixed, self.value.view(groups, e, d))
        return found.reshape(groups * size, positions, n, d)

    def push(self, x: Float[Tensor, "t n d"]) -> Float[Tensor, "t n d"]:
        """The linear part, applied to vectors on resid_pre of all positions (no constant)."""
        positions, n, d = x.shape
        groups, _, size, _ = self.mix.shape
        e = len(self.value) // groups
        value = (x.reshape(-1, d) @ self.value.T).view(positions, n, groups, e).permute(2, 0, 1, 3)
        mix = self.mix[:, :positions, :, :positions].reshape(groups, positions, -1)
        z = torch.bmm(mix.transpose(1, 2), value.reshape(groups, positions, n * e))
        z = z.view(groups, size, positions, n, e).permute(2, 3, 0, 1, 4).reshape(positions * n, -1)
        return (z @ self.output.T).view(positions, n, d)


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
    value_map = ln1.fold_input(w_value).transpose(1, 2).reshape(-1, d).contiguous()
    return FrozenAttention(mix, value_map, output.reshape(-1, d).T.contiguous(), constant)


def _attend(pattern: Tensor, value: Tensor, w_output: Tensor) -> Tensor:
    value = value.repeat_interleave(len(w_output) // value.shape[1], dim=1)
    return torch.einsum("hts,she,hed->td", pattern, value, w_output)
