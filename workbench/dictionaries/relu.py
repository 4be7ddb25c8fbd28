"""ReLU: sparsity from an L1 penalty alone."""

from typing import Any

from torch import Tensor

from workbench.core import Codes, register

from .active import Active, above
from .gates import Gate, Terms
from .objective import Objective


@register("gate", "relu")
class ReLU(Gate):
    """f = ReLU(W x + b), penalised by l1 * sum_i f_i |W_dec,i|.

    The norm in the penalty keeps a feature from shrinking its activation and growing its decoder row (Anthropic,
    Circuits Updates, April 2024; there the coefficient is 5 with rows of norm sqrt(d), which is 5 / sqrt(d) in the
    units used here: 0.2 at d = 576).
    """

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.l1: float = config.l1

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor) -> Codes:
        return above(x, weight, bias, 0.0)

    def learn(self, x: Tensor, weight: Tensor, bias: Tensor, objective: Objective) -> tuple[Active, Terms]:
        acts = (x @ weight.T + bias).relu()
        penalty = objective.magnitude(acts, objective.decoder.norm(dim=1))
        return acts, {"sparsity": objective.sparsity * self.l1 * penalty}
