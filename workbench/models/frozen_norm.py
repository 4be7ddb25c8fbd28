"""A norm whose scale is held: a linear map and a constant, pushed forward and pulled back."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class FrozenNorm:
    """y[t] = (x[t] - mean(x[t]) if centred) * weight / scale[t] + bias, for RMSNorm and LayerNorm.

    Tensors carry the position axis first, [t n d], and may hold a prefix of the positions.
    """

    weight: Float[Tensor, " d"]
    bias: Float[Tensor, " d"] | None
    scale: Float[Tensor, " t"]
    centred: bool

    def push(self, x: Float[Tensor, "t n d"]) -> Float[Tensor, "t n d"]:
        """The linear part, applied to vectors (no bias)."""
        x = x - x.mean(-1, keepdim=True) if self.centred else x
        return x * self.weight / self.scale[: len(x), None, None]

    def pull(self, v: Float[Tensor, "t n d"]) -> Float[Tensor, "t n d"]:
        """The transpose of `push`: covectors on the output become covectors on the input."""
        v = v * self.weight / self.scale[: len(v), None, None]
        return v - v.mean(-1, keepdim=True) if self.centred else v

    def fold_input(self, matrix: Float[Tensor, "... d m"]) -> Float[Tensor, "... d m"]:
        """The matrix that, after division by `scale`, equals `push` followed by `matrix`."""
        matrix = matrix * self.weight[:, None]
        return matrix - matrix.mean(-2, keepdim=True) if self.centred else matrix

    def fold_output(self, matrix: Float[Tensor, "... m d"]) -> Float[Tensor, "... m d"]:
        """The matrix that, after division by `scale`, equals `matrix` followed by `push`."""
        matrix = matrix - matrix.mean(-1, keepdim=True) if self.centred else matrix
        return matrix * self.weight

    @property
    def constant(self) -> Float[Tensor, "t d"]:
        """The output for zero input."""
        rows = self.weight.new_zeros(len(self.scale), len(self.weight))
        return rows if self.bias is None else rows + self.bias
