"""SparseModel: a plain model whose MLPs run only the neurons that were chosen; attention and all else stay its own."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from workbench.models import PlainDecoder, PlainMlp, PlainModel, Sampler, Sampling

from .choices import Choice, FixedCore, TokenNeurons, hidden_of, project, rows_of, weight_bytes
from .core_neurons import Core, CoreCounter

Watch = Callable[[Float[Tensor, "n m"]], None]


class Listener(Protocol):
    """What takes the hidden values of an MLP as a text is read, such as a `CoreCounter`."""

    def add(self, hidden: Float[Tensor, "t m"], /) -> None: ...


class SparseMlp(nn.Module):
    """Stands where the MLP of a layer was: its own module, or a choice of its neurons."""

    def __init__(self, mlp: PlainMlp) -> None:
        super().__init__()
        self._mlp = mlp
        self.own = mlp.module
        self.choice: Choice | None = None
        self.watch: Watch | None = None

    def forward(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
        """Dense without a choice; what is watched are the hidden values of that."""
        if self.choice is not None:
            return self.choice(x.reshape(-1, x.shape[-1])).reshape(x.shape)
        if self.watch is None:
            return self.own(x)
        hidden = hidden_of(self._mlp, x.reshape(-1, x.shape[-1]))
        self.watch(hidden)
        return project(self._mlp, hidden).reshape(x.shape)


class SparseModel:
    """Reads a text densely, then goes on with the neurons that were chosen.

    Args:
        model: its MLP modules are exchanged inside `sparse`, and only there.
        skip_first: tokens at the start of a text that do not count for its core (BOS, whose activations are its own).
    """

    def __init__(self, model: PlainModel, skip_first: int = 1) -> None:
        self.plain, self.skip_first = model, skip_first
        self.mlps = model.mlps()
        self.neurons = len(self.mlps[0].neurons.w_in)
        self._modules = [SparseMlp(mlp) for mlp in self.mlps]
        self._decoder: PlainDecoder | None = None
        self._by_row: list[PlainMlp] | None = None

    @contextmanager
    def sparse(self) -> Iterator["SparseModel"]:
        """Inside, the model's MLPs are this object's."""
        with self.plain.with_mlps(self._modules):
            yield self

    def read(self, ids: Int[Tensor, " t"], listeners: Sequence[Listener] | None = None) -> Float[Tensor, " v"]:
        """A new text, densely; the logits after it. A listener for each layer, if given, gets its hidden values."""
        self._decoder = PlainDecoder(self.plain)
        self.choose(None)
        for module, listener in zip(self._modules, listeners or (), strict=bool(listeners)):
            module.watch = self._after_first(listener)
        try:
            return self._decoder.feed(ids, 1)[-1]
        finally:
            for module in self._modules:
                module.watch = None

    def choose(self, choices: Sequence[Choice] | None) -> None:
        """The choices of all layers from here on; None: dense."""
        for number, module in enumerate(self._modules):
            module.choice = None if choices is None else choices[number]

    def follow(self, ids: Int[Tensor, " t"], forget: bool = True) -> Float[Tensor, "t v"]:
        """Logits after each of the tokens that follow what was read; forgotten again unless told otherwise."""
        assert self._decoder is not None
        before = self._decoder.length
        try:
            return self._decoder.feed(ids)
        finally:
            if forget and self._decoder.length > before:
                self._decoder.rewind(before)

    def stream(
        self, logits: Float[Tensor, " v"], count: int, sampling: Sampling | None = None, seed: int = 0
    ) -> Iterator[int]:
        """Up to `count` new tokens after the logits of what was read, each as soon as it is chosen."""
        assert self._decoder is not None
        sampling = sampling or Sampling()
        choose, tokenizer = Sampler(sampling, seed), self.plain.tokenizer
        end = tokenizer.eos_id if tokenizer is not None and sampling.stop_at_eos else None
        for number in range(count):
            chosen = choose(logits)
            yield chosen
            if chosen == end or number + 1 == count:
                return
            logits = self._decoder.feed(torch.tensor([chosen]), 1)[-1]

    def counters(self, alpha: float) -> list[CoreCounter]:
        """One for each layer."""
        return [CoreCounter(self.neurons, alpha) for _ in self.mlps]

    def fixed(self, cores: Sequence[Core]) -> list[Choice]:
        """A fixed core for each layer, as sliced weights."""
        return [FixedCore(mlp, core) for mlp, core in zip(self.mlps, cores, strict=True)]

    def by_token(self, density: float) -> list[Choice]:
        """Every token's own neurons by the gate."""
        if self._by_row is None:
            self._by_row = [rows_of(mlp) for mlp in self.mlps]
        return [TokenNeurons(mlp, density) for mlp in self._by_row]

    @property
    def mlp_bytes(self) -> int:
        """Weights of all MLPs."""
        return sum(map(weight_bytes, self.mlps))

    def _after_first(self, listener: Listener) -> Watch:
        return lambda hidden: listener.add(hidden[self.skip_first :])
