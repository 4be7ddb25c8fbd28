"""A slow, plain forward pass from canonical parameters, with every Site recorded and open to an added vector.

It shares no code with the bridge or with Hugging Face, so it checks parameter names and orientation, the meaning
of every Site, and that a write at a Site reaches what comes after it.
"""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from workbench.core import Site
from workbench.models import ModelShape


@dataclass(frozen=True)
class Positions:
    """What parameters do not say: rotary bases and windows per layer, rotated dimensions, scale and cap of scores."""

    theta: tuple[float, ...]
    rotated: int
    scale: float
    window: tuple[int | None, ...]
    cap: float | None = None


def read_positions(config, shape: ModelShape) -> Positions:
    """The position rules of a Hugging Face configuration."""
    types = getattr(config, "layer_types", None) or ["full_attention"] * shape.n_layers
    rope = getattr(config, "rope_parameters", None) or {}
    theta = tuple(float(rope.get(kind, rope).get("rope_theta", 0)) for kind in types)
    rotated = int(shape.d_head * rope.get("partial_rotary_factor", 1.0)) if shape.rotary else 0
    sliding = getattr(config, "sliding_window", None)
    window = tuple(sliding if kind == "sliding_attention" else None for kind in types)
    scale = (getattr(config, "query_pre_attn_scalar", None) or shape.d_head) ** -0.5
    return Positions(theta, rotated, scale, window, getattr(config, "attn_logit_softcapping", None))


@dataclass
class Reference:
    """One forward pass; `added` holds what is added at each site."""

    shape: ModelShape
    params: dict[str, Tensor]
    positions: Positions
    added: dict[Site, Tensor] = field(default_factory=dict)
    values: dict[Site, Tensor] = field(default_factory=dict)

    def __call__(self, ids: Tensor) -> Tensor:
        """Logits [b t v] of unpadded ids [b t]."""
        x = self.at("embed", None, self.params["embed.W_E"][ids])
        if not self.shape.rotary:
            x = x + self.params["pos_embed.W_pos"][: ids.shape[1]]
        for layer in range(self.shape.n_layers):
            x = self.block(layer, x)
        final = self.at("final_norm", None, self.norm(x, "ln_final", "lnf_scale", None))
        logits = final @ self.params["unembed.W_U"] + self.params.get("unembed.b_U", 0)
        logits = self.at("logits", None, logits)
        cap = self.shape.logit_softcap
        return logits if cap is None else cap * torch.tanh(logits / cap)

    def at(self, kind: str, layer: int | None, x: Tensor) -> Tensor:
        site = Site(kind, layer)
        if site in self.added:
            x = x + self.added[site]
        self.values[site] = x
        return x

    def block(self, layer: int, x: Tensor) -> Tensor:
        name = f"blocks.{layer}"
        x = self.at("resid_pre", layer, x)
        attn_out = self.attention(layer, x)
        if self.shape.sandwich:
            attn_out = self.norm(attn_out, f"{name}.ln1_post", "ln1_post_scale", layer)
        attn_out = self.at("attn_out", layer, attn_out)
        mid = x if self.shape.parallel else self.at("resid_mid", layer, x + attn_out)
        read = self.at("mlp_input", layer, mid)
        mlp_out = self.mlp(layer, self.at("mlp_in", layer, self.norm(read, f"{name}.ln2", "ln2_scale", layer)))
        if self.shape.sandwich:
            mlp_out = self.norm(mlp_out, f"{name}.ln2_post", "ln2_post_scale", layer)
        mlp_out = self.at("mlp_out", layer, mlp_out)
        return self.at("resid_post", layer, mid + mlp_out + (attn_out if self.shape.parallel else 0))

    def norm(self, x: Tensor, name: str, scale_kind: str | None = None, layer: int | None = None) -> Tensor:
        if self.shape.norm == "layer":
            x = x - x.mean(-1, keepdim=True)
        scale = (x.pow(2).mean(-1, keepdim=True) + self.shape.norm_eps).sqrt()
        if scale_kind is not None:
            scale = self.at(scale_kind, layer, scale)
        return x / scale * self.params[f"{name}.w"] + self.params.get(f"{name}.b", 0)

    def attention(self, layer: int, x: Tensor) -> Tensor:
        name, shape = f"blocks.{layer}.attn", self.shape
        attn_in = self.at("attn_in", layer, self.norm(x, f"blocks.{layer}.ln1", "ln1_scale", layer))
        q = self.project(layer, "q", x, attn_in, shape.n_heads)
        k = self.project(layer, "k", x, attn_in, shape.n_kv_heads)
        v = self.project(layer, "v", x, attn_in, shape.n_kv_heads)
        if f"{name}.q_norm.w" in self.params:
            q, k = self.norm(q, f"{name}.q_norm"), self.norm(k, f"{name}.k_norm")
        q, k = self.rotate(q, layer), self.rotate(k, layer)
        group = shape.n_heads // shape.n_kv_heads
        k, v = k.repeat_interleave(group, 2), v.repeat_interleave(group, 2)
        scores = torch.einsum("bqhe,bkhe->bhqk", q, k) * self.positions.scale
        if self.positions.cap is not None:
            scores = self.positions.cap * torch.tanh(scores / self.positions.cap)
        visible = self.visible(x.shape[1], layer)
        scores = self.at("attn_scores", layer, scores.masked_fill(~visible, torch.finfo(x.dtype).min))
        pattern = self.at("attn_pattern", layer, scores.softmax(-1))
        z = self.at("attn_z", layer, torch.einsum("bhqk,bkhe->bqhe", pattern, v))
        result = self.at("attn_result", layer, torch.einsum("bqhe,hed->bqhd", z, self.params[f"{name}.W_O"]))
        return result.sum(2) + self.params.get(f"{name}.b_O", 0)

    def project(self, layer: int, letter: str, x: Tensor, attn_in: Tensor, heads: int) -> Tensor:
        """Queries, keys or values [b t h e]; each head reads its own copy of the residual stream."""
        name, kind = f"blocks.{layer}.attn", f"attn_{letter}_input"
        own = self.at(kind, layer, x[:, :, None].expand(-1, -1, heads, -1))
        normed = attn_in[:, :, None].expand_as(own)
        if Site(kind, layer) in self.added:
            normed = self.norm(own, f"blocks.{layer}.ln1")
        out = torch.einsum("bthd,hde->bthe", normed, self.params[f"{name}.W_{letter.upper()}"])
        return self.at(f"attn_{letter}", layer, out + self.params.get(f"{name}.b_{letter.upper()}", 0))

    def rotate(self, x: Tensor, layer: int) -> Tensor:
        """Rotary embedding of the first dimensions of every head; halves are pairs."""
        width = self.positions.rotated
        if width == 0:
            return x
        # Angles are float32 in every implementation, whatever the model's dtype.
        frequency = 1.0 / self.positions.theta[layer] ** (torch.arange(0, width, 2).float() / width)
        angle = torch.arange(x.shape[1]).float()[:, None] * frequency
        cos, sin = angle.cos().to(x.dtype)[:, None], angle.sin().to(x.dtype)[:, None]
        first, second, rest = x[..., : width // 2], x[..., width // 2 : width], x[..., width:]
        return torch.cat([first * cos - second * sin, second * cos + first * sin, rest], -1)

    def visible(self, length: int, layer: int) -> Tensor:
        query, key = torch.arange(length)[:, None], torch.arange(length)[None]
        seen = key <= query
        window = self.positions.window[layer]
        return seen if window is None else seen & (key > query - window)

    def mlp(self, layer: int, x: Tensor) -> Tensor:
        name, params = f"blocks.{layer}.mlp", self.params
        branch = x @ params[f"{name}.W_in"] + params.get(f"{name}.b_in", 0)
        if self.shape.gated:
            gate = self.at("mlp_pre", layer, x @ params[f"{name}.W_gate"] + params.get(f"{name}.b_gate", 0))
            post = self.activation(gate) * self.at("mlp_pre_linear", layer, branch)
        else:
            post = self.activation(self.at("mlp_pre", layer, branch))
        post = self.at("mlp_post", layer, post)
        return post @ params[f"{name}.W_out"] + params.get(f"{name}.b_out", 0)

    def activation(self, x: Tensor) -> Tensor:
        name = self.shape.act_fn
        if name == "silu":
            return x / (1 + torch.exp(-x))
        if name == "gelu":
            return 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))
        assert name in ("gelu_new", "gelu_pytorch_tanh"), name
        return 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
