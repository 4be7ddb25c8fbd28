"""Gates: from rows and encoder to Codes. Each is one registered module."""

from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from sparse_kernels import encode_topk
from workbench.core import Codes, register


class Gate(nn.Module):
    """Chooses the active features of every row; a gate with a threshold holds it as a parameter.

    Args:
        config: the settings of the dictionary that the gate belongs to.
    """

    def __init__(self, config: Any) -> None:
        super().__init__()

    def forward(self, x: Float[Tensor, "n d"], weight: Float[Tensor, "f d"], bias: Float[Tensor, " f"]) -> Codes:
        raise NotImplementedError


@register("gate", "topk")
class TopK(Gate):
    """The k largest of ReLU(W x + b) in each row (Gao et al. 2024, section 2.3); the rest is 0."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.k: int = config.k

    def forward(self, x: Float[Tensor, "n d"], weight: Float[Tensor, "f d"], bias: Float[Tensor, " f"]) -> Codes:
        index, value = encode_topk(x, weight, bias, self.k)
        return Codes(index, value, weight.shape[0])
