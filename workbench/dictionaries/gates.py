"""Gates: from rows and encoder to active features. Each is one registered module."""

from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn

from sparse_kernels import encode_topk
from workbench.core import Codes, register

from .active import Active
from .objective import Objective

Terms = dict[str, Float[Tensor, ""]]
"""Loss terms by name, weights included: they are added to the fraction of variance unexplained."""


class Gate(nn.Module):
    """Chooses the active features of every row; a gate with a threshold holds it as parameter or buffer.

    `forward` is inference: each row by itself. `learn` is one batch of training.

    Args:
        config: the settings of the dictionary that the gate belongs to.
    """

    def __init__(self, config: Any) -> None:
        super().__init__()

    def forward(self, x: Float[Tensor, "n d"], weight: Float[Tensor, "f d"], bias: Float[Tensor, " f"]) -> Codes:
        """The codes of every row."""
        raise NotImplementedError

    def learn(
        self, x: Float[Tensor, "n d"], weight: Float[Tensor, "f d"], bias: Float[Tensor, " f"], objective: Objective
    ) -> tuple[Active, Terms]:
        """The activations of a training batch, and what the gate adds to the loss."""
        return self(x, weight, bias), {}

    def calibrate_(self, x: Float[Tensor, "n d"], weight: Float[Tensor, "f d"], bias: Float[Tensor, " f"]) -> None:
        """Set thresholds from the rows that training starts from."""

    def shift_(self, shift: Float[Tensor, " f"]) -> None:
        """The units of the inputs have changed: W x alone has grown by this; W x + b has not."""

    def readers(
        self, weight: Float[Tensor, "m d"], bias: Float[Tensor, " m"], index: Int[Tensor, " m"] | slice
    ) -> tuple[Float[Tensor, "m d"], Float[Tensor, " m"]]:
        """Row and bias that an active feature's value is linear in, from its encoder row and bias."""
        return weight, bias


@register("gate", "topk")
class TopK(Gate):
    """The k largest of ReLU(W x + b) in each row (Gao et al. 2024, section 2.3); the rest is 0."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.k, self.k_start = config.k, config.k_start

    def forward(self, x: Float[Tensor, "n d"], weight: Float[Tensor, "f d"], bias: Float[Tensor, " f"]) -> Codes:
        return self._top(x, weight, bias, self.k)

    def learn(
        self, x: Float[Tensor, "n d"], weight: Float[Tensor, "f d"], bias: Float[Tensor, " f"], objective: Objective
    ) -> tuple[Active, Terms]:
        k = annealed(self.k, self.k_start, objective.sparsity)
        return self._top(x, weight, bias, min(round(k), len(weight))), {}

    def _top(self, x: Tensor, weight: Tensor, bias: Tensor, k: int) -> Codes:
        index, value = encode_topk(x, weight, bias, k)
        return Codes(index, value, weight.shape[0])


def annealed(k: float, start: float, share: float) -> float:
    """From start * k at share 0 to k at share 1: features that must compete too early settle on mixtures."""
    return k * (1 + (start - 1) * (1 - share))
