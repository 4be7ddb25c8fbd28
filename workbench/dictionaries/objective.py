"""Objective: what the features of one batch should add up to, and the unit in which losses are measured."""

from dataclasses import dataclass, replace

from jaxtyping import Float
from torch import Tensor

from sparse_kernels import reconstruction_error, squared_deviation
from workbench.core import Codes

from .active import Active, decode


@dataclass(frozen=True)
class Objective:
    """The target of a batch, for gates that bring loss terms of their own.

    All losses are fractions: squared errors are divided by the targets' squared deviation from the batch mean. A
    paper's loss with rows scaled to a mean squared norm of 1 keeps its coefficients.

    Attributes:
        target: what the dictionary should write.
        base: its affine path, b_dec + W_skip x, which is added to what the features write.
        decoder: W_dec.
        total: squared deviation of the target from its mean, summed over the batch.
        sparsity: share of the sparsity penalty in force (the warm-up of the run).
    """

    target: Float[Tensor, "n d"]
    base: Float[Tensor, "n d"] | Float[Tensor, " d"]
    decoder: Float[Tensor, "f d"]
    total: Float[Tensor, ""]
    sparsity: float = 1.0

    @classmethod
    def of(cls, target: Tensor, base: Tensor, decoder: Tensor, sparsity: float = 1.0) -> "Objective":
        """The objective of a batch of targets."""
        return cls(target, base, decoder, squared_deviation(target).clamp_min(1e-30), sparsity)

    def unexplained(self, active: Active) -> Float[Tensor, ""]:
        """FVU of a reconstruction from these activations."""
        return self.missed(active)[0]

    def missed(self, active: Active) -> tuple[Float[Tensor, ""], Float[Tensor, "n d"]]:
        """FVU, and reconstruction less target as a constant."""
        if isinstance(active, Codes):
            codes = active.index, active.value, self.decoder, self.base, self.target, active.offsets
            error, residual = reconstruction_error(*codes)
            return error.sum() / self.total, residual
        residual = decode(active, self.decoder) + self.base - self.target
        return residual.square().sum() / self.total, residual.detach()

    def through(self, decoder: Float[Tensor, "f d"]) -> "Objective":
        """The same with another decoder."""
        return replace(self, decoder=decoder)

    def frozen(self) -> "Objective":
        """The same with no gradient to decoder and affine path."""
        return replace(self, decoder=self.decoder.detach(), base=self.base.detach())

    def magnitude(self, acts: Float[Tensor, "n f"], norms: Float[Tensor, " f"]) -> Float[Tensor, ""]:
        """Mean over rows of the sum of activation times decoder norm, relative to the targets' typical deviation."""
        rows = max(len(self.target), 1)
        return (acts.sum(0) @ norms) / (rows * self.total).sqrt()
