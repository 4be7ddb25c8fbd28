"""Gated: one path decides which features are active, another how much."""

from typing import Any

import torch
from torch import Tensor, nn

from workbench.core import Codes, register

from .active import Active, ragged
from .gates import Gate, Terms
from .objective import Objective


@register("gate", "gated")
class Gated(Gate):
    """f = H(W x + b) * ReLU(exp(r_mag) * (W x) + b_mag) (Rajamanoharan et al. 2024, "Gated SAEs", section 3.2).

    Loss terms, with pi = W x + b: l1 * sum_i ReLU(pi_i) |W_dec,i|, and the error of ReLU(pi) through a frozen copy of
    the decoder, which trains the gate. They constrain decoder rows to norm 1; here the norm stands in the penalty,
    without gradient, which asks for no projection after each step.
    """

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.l1: float = config.l1
        self.r_mag = nn.Parameter(torch.zeros(config.d_sae))
        self.b_mag = nn.Parameter(torch.zeros(config.d_sae))

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor) -> Codes:
        shared = x @ weight.T
        magnitude = torch.addcmul(self.b_mag, shared, self.r_mag.exp())
        return ragged(magnitude, ~((shared + bias <= 0) | (magnitude <= 0)))

    def learn(self, x: Tensor, weight: Tensor, bias: Tensor, objective: Objective) -> tuple[Active, Terms]:
        shared = x @ weight.T
        gate = shared + bias
        acts = torch.where(gate <= 0, 0.0, torch.addcmul(self.b_mag, shared, self.r_mag.exp()).relu())
        chosen, frozen = gate.relu(), objective.frozen()
        penalty = objective.magnitude(chosen, frozen.decoder.norm(dim=1))
        return acts, {
            "sparsity": objective.sparsity * self.l1 * penalty,
            "gate": frozen.unexplained(chosen),
        }

    @torch.no_grad()
    def shift_(self, shift: Tensor) -> None:
        self.b_mag.copy_(self.b_mag.double() - self.r_mag.double().exp() * shift.double())

    def readers(self, weight: Tensor, bias: Tensor, index: Tensor | slice) -> tuple[Tensor, Tensor]:
        return weight * self.r_mag[index].exp()[:, None], self.b_mag[index]
