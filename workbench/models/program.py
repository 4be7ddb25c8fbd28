"""Transformer Programs: a transformer that is a program while it trains (Friedman, Wettig and Chen 2023).

Its residual stream is a list of named variables to which every module appends one: categorical ones (one of a few
values) and numerical ones (counts). Each module chooses which variables it reads, and each head which key value each
query value accepts; all choices are Gumbel-softmax samples at a temperature that falls, and become plain choices in
the end (`program_source.py` prints them as Python).
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from .program_config import ProgramConfig


class Stream(NamedTuple):
    """The variables so far: categorical ones as one-hot rows, numerical ones as numbers."""

    categorical: Float[Tensor, "b t c v"]
    numerical: Float[Tensor, "b t n"]


class Choice(nn.Module):
    """Choices among the last axis of its logits: soft samples while it trains, the likeliest ones after."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.randn(*shape))

    def forward(self, temperature: float | None, rows: int) -> Tensor:
        """[rows, ...]: a sample for each row of a batch; without a temperature the choice itself, one-hot."""
        if temperature is None:
            return nn.functional.one_hot(self.best, self.logits.shape[-1]).to(self.logits).expand(rows, *self.shape)
        return nn.functional.gumbel_softmax(self.logits.expand(rows, *self.shape), tau=temperature)

    @property
    def shape(self) -> torch.Size:
        """Of the logits."""
        return self.logits.shape

    @property
    def best(self) -> Int[Tensor, "*s"]:
        """The numbers of the likeliest."""
        return self.logits.argmax(-1)


class Heads(nn.Module):
    """Heads of a layer: which variables are query and key, and which key value each query value accepts.

    They count their matches.
    """

    def __init__(self, heads: int, read: int, values: int) -> None:
        super().__init__()
        self.query, self.key = Choice(heads, read), Choice(heads, read)
        self.accepts = Choice(heads, values, values)

    def forward(self, stream: Stream, real: Tensor, temperature: float | None) -> Float[Tensor, "b t h"]:
        return self.matches(stream, real, temperature).sum(-1).transpose(1, 2)

    def matches(
        self, stream: Stream, real: Float[Tensor, "b t"], temperature: float | None
    ) -> Float[Tensor, "b h t t"]:
        """1 where the key at the last axis is one that the query accepts."""
        query, key = (_read(part, stream.categorical, temperature) for part in (self.query, self.key))
        return query @ self.accepts(temperature, len(real)) @ key.mT * real[:, None, None]


class CopyingHeads(Heads):
    """Each copies a variable from the closest match (the left one of two), or from position 0 where nothing matches."""

    def __init__(self, heads: int, read: int, values: int) -> None:
        super().__init__(heads, read, values)
        self.value = Choice(heads, read)

    def forward(self, stream: Stream, real: Tensor, temperature: float | None) -> Float[Tensor, "b t h v"]:
        chosen = closest(self.matches(stream, real, temperature))
        return (chosen @ _read(self.value, stream.categorical, temperature)).transpose(1, 2)


class Tables(nn.Module):
    """Tables of a layer: two variables in, one categorical variable out; each a small network while it trains."""

    def __init__(self, tables: int, read: int, inputs: int, hidden: int, values: int) -> None:
        super().__init__()
        self.first, self.second = Choice(tables, read), Choice(tables, read)
        self.into = nn.Parameter(torch.randn(tables, 2 * inputs, hidden) * (2 / (2 * inputs)) ** 0.5)
        self.shift = nn.Parameter(torch.zeros(tables, hidden))
        self.out = nn.Parameter(torch.randn(tables, hidden, values) * hidden**-0.5)

    def forward(self, variables: Float[Tensor, "b t c e"], temperature: float | None) -> Float[Tensor, "b t m v"]:
        if not len(self.shift):
            return variables.new_zeros(*variables.shape[:2], 0, self.out.shape[2])
        pair = [_read(part, variables, temperature).transpose(1, 2) for part in (self.first, self.second)]
        logits = self.answer(torch.cat(pair, -1))
        if temperature is None:
            return nn.functional.one_hot(logits.argmax(-1), logits.shape[-1]).to(logits)
        return (logits / temperature).softmax(-1)

    def answer(self, pair: Float[Tensor, "b t m e"]) -> Float[Tensor, "b t m v"]:
        """Logits of the value that each table gives."""
        inner = (torch.einsum("btme,mei->btmi", pair, self.into) + self.shift).relu()
        return torch.einsum("btmi,miv->btmv", inner, self.out)


class Layer(nn.Module):
    """Heads, then tables, each appending variables to the stream."""

    def __init__(self, config: ProgramConfig, categorical: int, numerical: int) -> None:
        super().__init__()
        values, after = config.values, categorical + config.categorical_heads
        counts = numerical + config.numerical_heads
        self.copy = CopyingHeads(config.categorical_heads, categorical, values)
        self.count = Heads(config.numerical_heads, categorical, values)
        self.tables = Tables(config.categorical_mlps, after, values, config.hidden, values)
        self.count_tables = Tables(config.numerical_mlps, counts, 1, config.hidden, values)

    def forward(self, stream: Stream, real: Tensor, temperature: float | None) -> Stream:
        copied, counted = self.copy(stream, real, temperature), self.count(stream, real, temperature)
        categorical = torch.cat([stream.categorical, copied], 2)
        numerical = torch.cat([stream.numerical, counted], 2)
        looked_up = [self.tables(categorical, temperature), self.count_tables(numerical[..., None], temperature)]
        return Stream(torch.cat([categorical, *looked_up], 2), numerical)


class ProgramTransformer(nn.Module):
    """The trainable program: one-hot tokens and positions, layers, and a linear readout of all variables.

    Two things differ from the paper: a numerical head counts its matches, and does not add up other counts over them,
    so that every count is at most the length, and a table over counts is a finite one; and choices are sampled for each
    sequence of a batch, where the paper samples once for all of it, which trains in far fewer steps.
    """

    def __init__(self, config: ProgramConfig, padding: int) -> None:
        super().__init__()
        self.config, self.padding = config, padding
        categorical, numerical, layers = 2, 0, []
        for _ in range(config.layers):
            layers.append(Layer(config, categorical, numerical))
            categorical += config.categorical_heads + config.categorical_mlps + config.numerical_mlps
            numerical += config.numerical_heads
        self.layers = nn.ModuleList(layers)
        self.answer = nn.Linear(categorical * config.values + numerical, config.classes)

    def blocks(self) -> list[Layer]:
        """Its layers."""
        return [layer for layer in self.layers if isinstance(layer, Layer)]

    def forward(self, ids: Int[Tensor, "b t"], temperature: float | None = None) -> Float[Tensor, "b t classes"]:
        """Logits; without a temperature those of the discrete program."""
        values, real = self.config.values, (ids != self.padding).to(self.answer.weight)
        places = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
        start = nn.functional.one_hot(torch.stack([ids, places], 2), values).to(real)
        stream = Stream(start, start.new_zeros(*ids.shape, 0))
        for layer in self.blocks():
            stream = layer(stream, real, temperature)
        return self.answer(torch.cat([stream.categorical.flatten(2), stream.numerical], 2))

    def loss(self, batch: tuple[Tensor, Tensor], share: float) -> Mapping[str, Tensor]:
        """Cross-entropy over the positions that have a target, at the temperature of this share of the training."""
        ids, targets = batch
        temperature = self.config.hot * (self.config.cold / self.config.hot) ** share
        return {"loss": nn.functional.cross_entropy(self(ids, temperature).flatten(0, 1), targets.flatten())}


def _read(choice: Choice, variables: Float[Tensor, "b t c e"], temperature: float | None) -> Float[Tensor, "b m t e"]:
    """The variable that each module of a choice reads."""
    chosen = choice(temperature, len(variables))
    return (chosen @ variables.transpose(1, 2).flatten(2)).unflatten(2, variables.shape[1::2])


def closest(matches: Float[Tensor, "b h t t"]) -> Float[Tensor, "b h t t"]:
    """The chance of each position to be the closest match, were the matches independent coins; the rest goes to 0.

    Of zeros and ones this is the choice itself: position i looks at i, i - 1, i + 1, i - 2, ... in turn.
    """
    order = _order(matches.shape[-1]).to(matches.device).expand(matches.shape)
    sorted_matches = matches.gather(-1, order)
    missed = (1 - sorted_matches).cumprod(-1)
    before = torch.cat([torch.ones_like(missed[..., :1]), missed[..., :-1]], -1)
    chosen = torch.zeros_like(matches).scatter(-1, order, sorted_matches * before)
    default = torch.zeros_like(matches)
    default[..., 0] = missed[..., -1]
    return chosen + default


def _order(length: int) -> Int[Tensor, "t t"]:
    """For every position, all positions from the closest on; the left one of two comes first."""
    places = torch.arange(length)
    apart = places[None] - places[:, None]
    return (2 * apart.abs() + (apart > 0)).argsort(1)
