"""Contrast: clean prompts, their corrupted twins and two answers, as tokens."""

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.core import METRICS, PromptPair, ShapeError, TextError
from workbench.data import Task, all_answer_ids
from workbench.models import HookedModel, TokenBatch


@dataclass(frozen=True)
class Contrast:
    """Prompts in pairs of equal length, padded on the right, and their answers.

    The metric is the weighted sum of the answers' logits (or probabilities) at the last token of each prompt.

    Attributes:
        answers: token ids; rows with fewer are filled up with any id of weight 0.
        weights: for a logit difference 1/right and -1/wrong; for a probability difference 1 and -1.
    """

    clean: Int[Tensor, "b t"]
    corrupted: Int[Tensor, "b t"]
    lengths: Int[Tensor, " b"]
    answers: Int[Tensor, "b a"]
    weights: Float[Tensor, "b a"]
    metric: str = METRICS[0]

    def __post_init__(self) -> None:
        if self.clean.shape != self.corrupted.shape:
            found = f"found {tuple(self.clean.shape)} and {tuple(self.corrupted.shape)}"
            raise ShapeError("clean and corrupted tokens have one shape [b, t]", found)

    @classmethod
    def of_ids(cls, clean: Tensor, corrupted: Tensor, target: Tensor | int, foil: Tensor | int) -> "Contrast":
        """Unpadded ids [b t] with answers of every prompt, or one for all."""
        n, length = clean.shape
        answers = torch.stack([torch.as_tensor(answer).expand(n) for answer in (target, foil)], 1)
        return cls(clean, corrupted, torch.full((n,), length), answers, torch.tensor([1.0, -1.0]).expand(n, 2))

    def __len__(self) -> int:
        return len(self.clean)

    @property
    def clean_batch(self) -> TokenBatch:
        return TokenBatch(self.clean, self.lengths)

    @property
    def corrupted_batch(self) -> TokenBatch:
        return TokenBatch(self.corrupted, self.lengths)

    @property
    def real(self) -> Tensor:
        """True at real tokens [b t]."""
        return torch.arange(self.clean.shape[1], device=self.lengths.device) < self.lengths[:, None]

    @property
    def digest(self) -> str:
        """A hash of the tokens, answers and metric."""
        found = hashlib.sha256(self.metric.encode())
        for tensor in (self.clean, self.corrupted, self.lengths, self.answers, self.weights.float()):
            found.update(tensor.cpu().contiguous().numpy().tobytes())
        return found.hexdigest()

    def swapped(self) -> "Contrast":
        """Clean and corrupted exchanged; the answers stay."""
        return dataclasses.replace(self, clean=self.corrupted, corrupted=self.clean)

    def batches(self, size: int) -> Iterator["Contrast"]:
        """The same, `size` pairs at a time, cut to their longest prompt."""
        for first in range(0, len(self), size):
            rows = slice(first, first + size)
            longest = int(self.lengths[rows].max())
            ids = (self.clean[rows, :longest], self.corrupted[rows, :longest])
            yield Contrast(*ids, self.lengths[rows], self.answers[rows], self.weights[rows], self.metric)

    def to(self, device: torch.device) -> "Contrast":
        """The same on a device."""
        ids = (self.clean.to(device), self.corrupted.to(device), self.lengths.to(device))
        return Contrast(*ids, self.answers.to(device), self.weights.to(device), self.metric)


Pairs = Contrast | Task | Sequence[PromptPair]


def contrast_of(model: HookedModel, pairs: Pairs) -> Contrast:
    """Pairs as tokens of a model; a sequence of pairs is measured by logit difference, a Task by its own metric.

    Raises:
        TextError: no pair, a pair without a corrupted prompt or with one of another length, or an answer that is
            not a single token.
    """
    if isinstance(pairs, Contrast):
        return pairs.to(model.device)
    metric = pairs.metric if isinstance(pairs, Task) else METRICS[0]
    pairs = pairs.prompts if isinstance(pairs, Task) else pairs
    if not pairs:
        raise TextError("no prompt pairs given")
    if missing := [pair.prompt for pair in pairs if not pair.corrupted]:
        raise TextError(f"no corrupted prompt for {missing[0]!r}", hint="this method compares a prompt with its twin")
    clean = model.tokens([pair.prompt for pair in pairs])
    corrupted = model.tokens([pair.corrupted for pair in pairs])
    for pair, length, other in zip(pairs, clean.lengths.tolist(), corrupted.lengths.tolist(), strict=True):
        if length != other:
            found = f"{pair.prompt!r} has {length} tokens, {pair.corrupted!r} has {other}"
            raise TextError("a prompt and its corrupted twin need as many tokens", found)
    answers, weights = _answers(model, pairs, metric)
    return Contrast(clean.ids, corrupted.ids, clean.lengths, answers, weights, metric)


def _answers(model: HookedModel, pairs: Sequence[PromptPair], metric: str) -> tuple[Tensor, Tensor]:
    found = [all_answer_ids(model.tokenizer, pair) for pair in pairs]
    longest = max(len(right) + len(wrong) for right, wrong in found)
    answers = torch.zeros(len(found), longest, dtype=torch.long)
    weights = torch.zeros(len(found), longest)
    for row, (right, wrong) in enumerate(found):
        count = len(right) + len(wrong)
        answers[row, :count] = torch.tensor([*right, *wrong])
        share = (1.0, 1.0) if metric == METRICS[1] else (1 / len(right), 1 / len(wrong))
        weights[row, :count] = torch.tensor([share[0]] * len(right) + [-share[1]] * len(wrong))
    return answers.to(model.device), weights.to(model.device)


@dataclass(frozen=True)
class Readout:
    """The unembedding at the last token alone: a vocabulary per prompt at most, not one per token."""

    unembed: Float[Tensor, "d v"]
    bias: Float[Tensor, " v"] | None
    softcap: float | None

    @classmethod
    def of(cls, model: HookedModel) -> "Readout":
        params = model.params()
        return cls(params["unembed.W_U"], params.get("unembed.b_U"), model.shape.logit_softcap)

    def metric(self, final_norm: Float[Tensor, "b t d"], contrast: Contrast) -> Float[Tensor, " b"]:
        """The metric of each prompt, after any soft-cap of the logits."""
        rows = torch.arange(len(contrast), device=final_norm.device)
        last = final_norm[rows, contrast.lengths - 1]
        weights = contrast.weights.to(last.dtype)
        if contrast.metric == METRICS[1]:
            logits = last @ self.unembed
            logits = self._capped(logits if self.bias is None else logits + self.bias)
            return (logits.softmax(-1).gather(1, contrast.answers) * weights).sum(1)
        logits = torch.einsum("bd,dba->ba", last, self.unembed[:, contrast.answers])
        logits = logits if self.bias is None else logits + self.bias[contrast.answers]
        return (self._capped(logits) * weights).sum(1)

    def _capped(self, logits: Tensor) -> Tensor:
        return logits if self.softcap is None else self.softcap * torch.tanh(logits / self.softcap)
