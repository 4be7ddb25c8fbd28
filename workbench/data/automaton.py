"""TokFSM: sequences from a known automaton, with the exact loss and accuracy of the best possible predictor."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from workbench.core import ShapeError, child

from .automaton_config import PAPER_AUTOMATON, AutomatonConfig

DIGITS = 10
END = 10
"""The id of <|endoftext|>, which opens every sequence."""
VOCABULARY = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "<|endoftext|>")


class Floor(NamedTuple):
    """What the best predictor reaches over the predicted tokens of a sequence: nats a token, share right."""

    loss: float
    accuracy: float


@dataclass(frozen=True)
class Automaton:
    """A graph on the states, and the walks on it as tokens.

    A sequence is <|endoftext|> and then states, two digits each, the first one uniform, cut to `length` tokens: at
    odd positions stands the first digit of a state, at even ones (from 2) the second. Predicted are all tokens but
    the first.
    """

    config: AutomatonConfig = PAPER_AUTOMATON

    @cached_property
    def successors(self) -> Int[Tensor, "states edges"]:
        """The states that follow each, as numpy's `default_rng(seed).choice` draws them, one state after another."""
        source = np.random.default_rng(self.config.graph_seed)
        rows = [source.choice(self.config.states, self.config.edges, replace=False) for _ in range(self.config.states)]
        return torch.from_numpy(np.stack(rows))

    @cached_property
    def transitions(self) -> Float[Tensor, "states states"]:
        """Probability of each next state, double precision."""
        found = torch.zeros(self.config.states, self.config.states, dtype=torch.float64)
        return found.scatter_(1, self.successors, 1 / self.config.edges)

    @cached_property
    def first_digits(self) -> Float[Tensor, "states digits"]:
        """Probability of the next state's first digit, given the state."""
        return self.transitions @ self._written.double()

    @cached_property
    def trigrams(self) -> Int[Tensor, "n 2"]:
        """Every legal pair (state, first digit of the next); the model must tell them apart after that digit."""
        return (self.first_digits > 0).nonzero()

    @property
    def whole_states(self) -> int:
        """States of which both digits fit into a sequence."""
        return (self.config.length - 1) // 2

    def sample_states(self, sequences: int, seed: int) -> Int[Tensor, "n s"]:
        """Walks from a uniform start, long enough for a sequence; a pure function of the seed."""
        source = torch.Generator().manual_seed(child(seed, "automaton"))
        steps = self.whole_states + 1
        states = torch.empty(sequences, steps, dtype=torch.long)
        states[:, 0] = torch.randint(self.config.states, (sequences,), generator=source)
        edges = torch.randint(self.config.edges, (sequences, steps - 1), generator=source)
        for step in range(1, steps):
            states[:, step] = self.successors[states[:, step - 1], edges[:, step - 1]]
        return states

    def write(self, states: Int[Tensor, "n s"]) -> Int[Tensor, "n t"]:
        """States as tokens: <|endoftext|> in front, cut to the length of a sequence."""
        digits = torch.stack([states // DIGITS, states % DIGITS], 2).flatten(1)
        ends = torch.full((len(states), 1), END)
        return torch.cat([ends, digits], 1)[:, : self.config.length]

    def sample(self, sequences: int, seed: int) -> Int[Tensor, "n t"]:
        """Sequences of tokens."""
        return self.write(self.sample_states(sequences, seed))

    def chunk(self, number: int, sequences: int, seed: int) -> Int[Tensor, "n t"]:
        """One chunk of the stream without end that a seed names."""
        return self.sample(sequences, child(seed, "stream", number))

    def states_of(self, ids: Int[Tensor, "n t"]) -> Int[Tensor, "n t"]:
        """At the second digit of every state that state, -1 elsewhere.

        Raises:
            ShapeError: not every sequence begins with <|endoftext|> and goes on with digits.
        """
        if bool((ids[:, 0] != END).any()) or bool((ids[:, 1:] >= DIGITS).any()):
            raise ShapeError("a sequence of the automaton is <|endoftext|> and then digits")
        found = torch.full_like(ids, -1)
        found[:, 2::2] = ids[:, 1:-1:2] * DIGITS + ids[:, 2::2]
        return found

    def trigrams_of(self, ids: Int[Tensor, "n t"]) -> Int[Tensor, "n t"]:
        """At the first digit of every state but the first: 10 * (state before) + digit, -1 elsewhere."""
        states, found = self.states_of(ids), torch.full_like(ids, -1)
        found[:, 3::2] = states[:, 2:-1:2] * DIGITS + ids[:, 3::2]
        return found

    def is_legal(self, before: Int[Tensor, " n"], after: Int[Tensor, " n"]) -> Bool[Tensor, " n"]:
        """Whether the automaton has these edges; numbers that are no state are in none."""
        known = (before >= 0) & (before < self.config.states) & (after >= 0) & (after < self.config.states)
        return known & (self.transitions[before * known, after * known] > 0)

    def next_tokens(self, ids: Int[Tensor, "n t"]) -> Float[Tensor, "n t digits"]:
        """The true distribution of the token after each; double precision, without <|endoftext|>.

        Zeros after what the automaton never writes.
        """
        states, trigrams = self.states_of(ids), self.trigrams_of(ids)
        states = torch.where(states < self.config.states, states, -1)
        trigrams = torch.where(trigrams < DIGITS * self.config.states, trigrams, -1)
        found = torch.zeros(*ids.shape, DIGITS, dtype=torch.float64)
        found[:, 0] = self._start_digits
        found[:, 1:2] = self._second_of_start[ids[:, 1:2]]
        found[states >= 0] = self.first_digits[states[states >= 0]]
        known = trigrams >= 0
        found[known] = self.second_digits[trigrams[known] // DIGITS, trigrams[known] % DIGITS]
        return found

    @cached_property
    def second_digits(self) -> Float[Tensor, "states digits digits"]:
        """Probability of the next state's second digit, given the state and the next one's first digit."""
        joint = torch.zeros(self.config.states, DIGITS, DIGITS, dtype=torch.float64)
        after = torch.arange(self.config.states)
        joint[:, after // DIGITS, after % DIGITS] = self.transitions
        return joint / joint.sum(2, keepdim=True).clamp_min(1e-300)

    @cached_property
    def floor(self) -> Floor:
        """Exact Bayes loss and accuracy over the predicted tokens of a sequence."""
        first, second = self.first_digits, self.second_digits
        state = torch.full((self.config.states,), 1 / self.config.states, dtype=torch.float64)
        start = state @ self._written.double()
        losses = [_entropy(start), (start * _entropy(self._second_of_start)).sum()]
        hits = [start.max(), (start * self._second_of_start.amax(1)).sum()]
        while len(losses) < self.config.length - 1:
            losses += [state @ _entropy(first), state @ (first * _entropy(second)).sum(1)]
            hits += [state @ first.amax(1), state @ (first * second.amax(2)).sum(1)]
            state = state @ self.transitions
        predicted = self.config.length - 1
        return Floor(
            float(torch.stack(losses[:predicted]).mean()),
            float(torch.stack(hits[:predicted]).mean()),
        )

    @property
    def stationary_entropy(self) -> float:
        """Nats a token far from the start of a long sequence."""
        return float(np.log(self.config.edges) / 2)

    @cached_property
    def _written(self) -> Bool[Tensor, "states digits"]:
        """The first digit of every state, one-hot."""
        return torch.nn.functional.one_hot(torch.arange(self.config.states) // DIGITS, DIGITS).bool()

    @cached_property
    def _start_digits(self) -> Float[Tensor, " digits"]:
        return self._written.double().mean(0)

    @cached_property
    def _second_of_start(self) -> Float[Tensor, "digits digits"]:
        """The second digit of the first state, given its first."""
        found = torch.zeros(DIGITS, DIGITS, dtype=torch.float64)
        states = torch.arange(self.config.states)
        found[states // DIGITS, states % DIGITS] = 1.0
        return found / found.sum(1, keepdim=True).clamp_min(1)


def _entropy(p: Float[Tensor, "*n digits"]) -> Float[Tensor, "*n"]:
    return -torch.special.xlogy(p, p).sum(-1)
