"""Classifiers that learn step by step, for comparing what each keeps of earlier tasks."""

import copy
from typing import Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.core import Codes, Site, generator
from workbench.dictionaries import KeyValue, KeyValueConfig

ROWS, SCORES = Site("embed"), Site("logits")
"""What the bottleneck reads (the frozen encoder's rows) and writes (a score for each class)."""


class StepLearner(Protocol):
    """Learns from batches; knows neither tasks nor their borders.

    `see` turns rows into what the learner works on, once for all epochs: the bottleneck's keys never move.
    """

    def see(self, x: Float[Tensor, "n d"], /) -> Tensor: ...
    def step(self, seen: Tensor, label: Int[Tensor, " b"], /) -> None: ...
    def scores(self, seen: Tensor, /) -> Float[Tensor, "n c"]: ...


class Plain:
    """Works on the rows as they are."""

    def see(self, x: Float[Tensor, "n d"]) -> Tensor:
        return x


class LinearProbe(Plain):
    """Multinomial logistic regression, one step of SGD a batch."""

    def __init__(self, size: int, classes: int, lr: float) -> None:
        self.weight = torch.zeros(classes, size, requires_grad=True)
        self.bias = torch.zeros(classes, requires_grad=True)
        self._optimiser = torch.optim.SGD([self.weight, self.bias], lr)

    def scores(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n c"]:
        return x @ self.weight.T + self.bias

    def step(self, x: Float[Tensor, "b d"], label: Int[Tensor, " b"]) -> None:
        torch.nn.functional.cross_entropy(self.scores(x), label).backward()
        self._optimiser.step()
        self._optimiser.zero_grad()


class Bottleneck:
    """A key-value bottleneck whose values are scores of classes: mean over heads, then softmax.

    Args:
        module: with its keys learnt and its values zero; it is copied.
        lr: step in logits: a batch of one moves its own logits by lr times the error of its probabilities.
    """

    def __init__(self, module: KeyValue, lr: float) -> None:
        self.module = copy.deepcopy(module)
        lookups = module.config.heads * module.config.k
        self._share = 1 / lookups if module.config.pool == "mean" else 1.0
        # A value's gradient is `share` of the logits', which move by `share` of each of `lookups` values.
        self._lr = lr / (lookups * self._share**2)

    def see(self, x: Float[Tensor, "n d"]) -> Tensor:
        return self.module.encode({ROWS: x}).index

    def scores(self, seen: Int[Tensor, "n k"]) -> Float[Tensor, "n c"]:
        value = self.module.values.new_full(seen.shape, self._share)
        return self.module.decode(Codes(seen, value, self.module.width))[SCORES]

    @torch.no_grad()
    def step(self, seen: Int[Tensor, "b k"], label: Int[Tensor, " b"]) -> None:
        """A step of SGD on the cross-entropy, written out: only the values that were looked up move."""
        error = self.scores(seen).softmax(1)
        error[torch.arange(len(label)), label] -= 1
        change = (error / len(label)).repeat_interleave(seen.shape[1], 0)
        self.module.values.index_add_(0, seen.flatten(), change, alpha=-self._lr * self._share)


def new_bottleneck(unlabelled: Float[Tensor, "n d"], classes: int, config: KeyValueConfig, seed: int) -> KeyValue:
    """A bottleneck whose keys are learnt from rows before any label is seen."""
    module = KeyValue(config, {ROWS: unlabelled.shape[1]}, {SCORES: classes})
    module.initialise({ROWS: unlabelled}, seed)
    return module


def with_lookups(module: KeyValue, k: int) -> KeyValue:
    """The same keys and values, of which k a head are looked up."""
    config = KeyValueConfig.parse({**module.config.model_dump(), "k": k})
    found = KeyValue(config, {ROWS: module.sizes[ROWS]}, {SCORES: module.sizes[SCORES]})
    found.load_state_dict(module.state_dict())
    return found


class NearestMean(Plain):
    """The class whose mean row is nearest; means are running ones, so nothing is forgotten."""

    def __init__(self, size: int, classes: int) -> None:
        self._sum, self._count = torch.zeros(classes, size), torch.zeros(classes)

    def step(self, x: Float[Tensor, "b d"], label: Int[Tensor, " b"]) -> None:
        self._sum.index_add_(0, label, x)
        self._count.index_add_(0, label, torch.ones(len(label)))

    def scores(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n c"]:
        distance = torch.cdist(x, self._sum / self._count.clamp_min(1)[:, None])
        return torch.where(self._count > 0, -distance, -torch.inf)


class NearestNeighbours(Plain):
    """Every row is kept; the nearest ones vote, the nearer one where votes are equal."""

    def __init__(self, classes: int, neighbours: int) -> None:
        self._classes, self._neighbours = classes, neighbours
        self._x: list[Tensor] = []
        self._label: list[Tensor] = []

    def step(self, x: Float[Tensor, "b d"], label: Int[Tensor, " b"]) -> None:
        self._x.append(x)
        self._label.append(label)

    def scores(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n c"]:
        kept, label = torch.cat(self._x), torch.cat(self._label)
        near = torch.cdist(x, kept).topk(min(self._neighbours, len(kept)), largest=False)
        weight = 1 + 1e-3 / (1 + torch.arange(near.indices.shape[1]))
        return torch.zeros(len(x), self._classes).scatter_add_(1, label[near.indices], weight.expand_as(near.values))


def train_epochs(
    learner: StepLearner, seen: Tensor, label: Int[Tensor, " n"], epochs: int, batch: int, seed: int
) -> None:
    """Go through what a learner sees of some rows in shuffled batches."""
    draw = generator(seed, "batches")
    for _ in range(epochs):
        for part in torch.randperm(len(seen), generator=draw).split(batch):
            learner.step(seen[part], label[part])
