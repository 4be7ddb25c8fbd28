"""The training step of a TopK autoencoder in plain PyTorch: dense scores, dense codes, five dense products."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from workbench.core import Site
from workbench.dictionaries import Dictionary


class PlainTopK(nn.Module):
    """The same function, loss, constraints and counters as a TopK autoencoder of unit norm, without our kernels.

    Args:
        twin: the autoencoder whose weights are copied.
    """

    def __init__(self, twin: Dictionary) -> None:
        super().__init__()
        (self.site,), self.k = twin.reads, twin.config.k
        self.W_enc, self.b_enc, self.W_dec, self.b_dec = (
            nn.Parameter(twin.get_parameter(name).detach().clone()) for name in ("W_enc", "b_enc", "W_dec", "b_dec")
        )
        self.register_buffer("rows_since_fired", twin.rows_since_fired.clone())
        self.rows_since_fired: Tensor

    def loss(self, inputs: Mapping[Site, Float[Tensor, "n d"]]) -> dict[str, Tensor]:
        x = inputs[self.site]
        scores = torch.relu(torch.nn.functional.linear(x, self.W_enc, self.b_enc))
        top = scores.topk(self.k, dim=1)
        codes = torch.zeros_like(scores).scatter(1, top.indices, top.values)
        out = codes @ self.W_dec + self.b_dec
        fvu = (out - x).square().sum() / (x - x.mean(0)).square().sum()
        active = (top.values > 0).sum() / len(x)
        with torch.no_grad():
            self.rows_since_fired += len(x)
            self.rows_since_fired[top.indices[top.values > 0]] = 0
        return {"loss": fvu, "fvu": fvu.detach(), "l0": active}

    def before_step(self, sparsity: float) -> None:
        """No penalty to warm up."""

    @torch.no_grad()
    def after_backward(self) -> None:
        gradient = self.W_dec.grad
        assert gradient is not None
        gradient -= (gradient * self.W_dec).sum(1, keepdim=True) * self.W_dec

    @torch.no_grad()
    def after_step(self) -> None:
        self.W_dec /= self.W_dec.norm(dim=1, keepdim=True)

    def parameter_groups(self) -> list[dict[str, Any]]:
        return [{"params": list(self.parameters()), "role": "features"}]
