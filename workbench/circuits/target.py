"""Target: which number of the model's output a graph explains."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core import TextError
from workbench.models import FrozenModel

from .config import Target


@dataclass(frozen=True)
class Metric:
    """A target made concrete on one run: rows of `directions . final_norm[position] + constants`, weighted.

    value of the metric = sum of weights * rows. `token_ids` holds one (token, foil or -1) per row.
    """

    position: int
    directions: Float[Tensor, "n d"]
    constants: Float[Tensor, " n"]
    weights: Float[Tensor, " n"]
    token_ids: tuple[tuple[int, int], ...]

    @property
    def direction(self) -> Float[Tensor, " d"]:
        """The weighted sum of the rows' directions: the metric's own direction."""
        return self.weights @ self.directions

    @property
    def constant(self) -> float:
        return float(self.weights @ self.constants)

    def value(self, final_norm: Float[Tensor, "n t d"]) -> Float[Tensor, " n"]:
        """The metric of runs given by the final norm's output."""
        return final_norm[:, self.position] @ self.direction.to(final_norm.dtype) + self.constant


def resolve(target: Target, frozen: FrozenModel) -> Metric:
    """Read directions and weights off one run.

    Raises:
        TextError: the position or a token id does not exist.
    """
    positions, vocabulary = frozen.logits.shape
    position = target.position + positions if target.position < 0 else target.position
    if not 0 <= position < positions:
        raise TextError(f"the target is at position {target.position}", found=f"the prompt has {positions} tokens")
    if any(not 0 <= token < vocabulary for token in target.tokens):
        raise TextError(f"the target names tokens {target.tokens}", found=f"the vocabulary has {vocabulary} tokens")
    columns, bias = frozen.unembed, frozen.unembed_bias
    if target.kind == "difference":
        first, second = target.tokens
        directions = (columns[:, first] - columns[:, second])[None]
        return Metric(position, directions, (bias[first] - bias[second])[None], bias.new_ones(1), ((first, second),))
    ids, weights = _single_tokens(target, frozen.logits[position])
    directions = (columns[:, ids] - columns.mean(1, keepdim=True)).T.contiguous()
    return Metric(position, directions, bias[ids] - bias.mean(), weights, tuple((int(i), -1) for i in ids))


def _single_tokens(target: Target, logits: Tensor) -> tuple[Tensor, Tensor]:
    if target.kind == "tokens":
        ids = torch.tensor(target.tokens, device=logits.device)
        return ids, logits.new_full((len(ids),), 1 / len(ids))
    probability, ids = logits.softmax(-1).topk(min(target.at_most, len(logits)))
    enough = int((probability.cumsum(0) < target.coverage).sum()) + 1
    return ids[:enough], probability[:enough]
