"""How well a model knows the automaton: distance to the exact floor, and the share of legal transitions."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.core import Edit, child
from workbench.data import Automaton
from workbench.dictionaries import Dictionary
from workbench.models import HookedModel, Sampling, TokenBatch

from .automaton_config import AutomatonEvalConfig
from .bootstrap import Estimate, ratio

BATCH = 64
END = 10


@dataclass(frozen=True)
class AutomatonSubject:
    """A model that reads an automaton, with the codebooks (if any) that stand in it."""

    automaton: Automaton
    model: HookedModel
    codecs: tuple[Dictionary, ...] = ()

    @property
    def edits(self) -> list[Edit]:
        return [Edit.through(codec) for codec in self.codecs]

    @torch.no_grad()
    def chances(self, ids: Int[Tensor, "n t"], lengths: Int[Tensor, " n"] | None = None) -> Float[Tensor, "n t v"]:
        """The model's distribution of the token after each, double precision."""
        found = []
        for start in range(0, len(ids), BATCH):
            part = ids[start : start + BATCH]
            tokens = part if lengths is None else TokenBatch(part, lengths[start : start + BATCH])
            logits = self.model.run(tokens, self.edits).logits
            assert logits is not None
            found.append(logits.double().softmax(2).cpu())
        return torch.cat(found)


@dataclass(frozen=True)
class AutomatonQuality:
    """What `automaton_quality` measures.

    Attributes:
        excess: nats a token above the exact floor: KL(truth | model), with an interval over sequences.
        loss: the floor and the excess together; sampled_loss: the plain cross-entropy of the same sequences.
        accuracy: the true chance of the token that the model finds likeliest.
        sampled: share of legal transitions among those of free samples (reference: state accuracy).
        first: share of free samples whose first transition is legal.
        top: share of true successors among as many likeliest ones, state by state.
    """

    excess: Estimate
    loss: float
    sampled_loss: float
    accuracy: Estimate
    sampled: Estimate
    first: float
    top: Estimate


def automaton_quality(subject: AutomatonSubject, config: AutomatonEvalConfig | None = None) -> AutomatonQuality:
    """Loss against the floor, accuracy, and both state accuracies."""
    config = config or AutomatonEvalConfig()
    excess, losses, hits = next_token_quality(subject, config)
    legal, total = free_transitions(subject, config)
    share = likeliest_successors(subject, config)
    above = ratio(excess, np.ones_like(excess), config.intervals)
    started = total > 0
    return AutomatonQuality(
        excess=above,
        loss=subject.automaton.floor.loss + above.value,
        sampled_loss=float(losses.mean()),
        accuracy=ratio(hits, np.ones_like(hits), config.intervals),
        sampled=ratio(legal.sum(1), total.sum(1).astype(float), config.intervals),
        first=float(legal[:, 0][started[:, 0]].mean()) if started[:, 0].any() else float("nan"),
        top=ratio(share, np.ones_like(share), config.intervals),
    )


def next_token_quality(
    subject: AutomatonSubject, config: AutomatonEvalConfig
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Of every sequence: KL(truth | model), cross-entropy and the true chance of the model's choice, a token."""
    ids = subject.automaton.sample(config.loss_sequences, child(config.seed, "loss"))
    parts = []
    for part in ids.split(BATCH):
        guess = subject.chances(part)[:, :-1].clamp_min(1e-300)
        truth = subject.automaton.next_tokens(part)[:, :-1]
        log = guess.log()
        excess = (torch.special.xlogy(truth, truth) - truth * log[..., : truth.shape[2]]).sum(2)
        losses = -log.gather(2, part[:, 1:, None])[..., 0]
        choice = guess.argmax(2, keepdim=True).clamp_max(truth.shape[2] - 1)
        hits = truth.gather(2, choice)[..., 0] * (guess.argmax(2) < truth.shape[2])
        parts.append(torch.stack([excess.mean(1), losses.mean(1), hits.mean(1)]))
    found = torch.cat(parts, 1).numpy()
    return found[0], found[1], found[2]


def free_transitions(
    subject: AutomatonSubject, config: AutomatonEvalConfig
) -> tuple[Float[np.ndarray, "n s"], Float[np.ndarray, "n s"]]:
    """Of every free sample at temperature 1, per transition: whether it is legal, and whether there is one.

    As in the reference, an <|endoftext|> in the middle is left out before digits are paired.
    """
    automaton = subject.automaton
    prompts = torch.full((config.free_samples, 1), END)
    written = subject.model.generate(
        prompts,
        automaton.config.length - 1,
        subject.edits,
        Sampling(temperature=1.0, stop_at_eos=False),
        seed=child(config.seed, "free samples") % 2**31,
    )
    steps = automaton.whole_states - 1
    legal, there = np.zeros((len(prompts), steps)), np.zeros((len(prompts), steps))
    for row, ids in enumerate(written.ids[:, 1:].cpu()):
        digits = ids[ids != END]
        pairs = digits[: len(digits) // 2 * 2].view(-1, 2)
        states = pairs[:, 0] * 10 + pairs[:, 1]
        right = automaton.is_legal(states[:-1], states[1:])[:steps]
        legal[row, : len(right)], there[row, : len(right)] = right.numpy(), 1.0
    return legal, there


def likeliest_successors(subject: AutomatonSubject, config: AutomatonEvalConfig) -> Float[np.ndarray, " states"]:
    """Per state: the share of its true successors among as many states that the model finds likeliest next."""
    automaton, edges = subject.automaton, subject.automaton.config.edges
    share = np.zeros(automaton.config.states)
    for state, prompt in states_in_context(automaton, config.prefixes, child(config.seed, "successors")):
        chances = next_states(subject, prompt)
        top = chances.mean(0).topk(edges).indices
        share[state] = float((automaton.transitions[state, top] > 0).double().mean())
    return share


def next_states(subject: AutomatonSubject, prompts: Int[Tensor, "n t"]) -> Float[Tensor, "n states"]:
    """The model's chance of every next state after prompts that end with a state."""
    tens = torch.arange(10)
    asked = torch.cat([prompts.repeat_interleave(10, 0), tens.repeat(len(prompts))[:, None]], 1)
    chances = subject.chances(asked)[:, -2:, :10].unflatten(0, (len(prompts), 10))
    both = chances[:, :1, 0].transpose(1, 2) * chances[:, :, 1]
    return both.flatten(1)[:, : subject.automaton.config.states]


def states_in_context(automaton: Automaton, count: int, seed: int) -> Iterator[tuple[int, Int[Tensor, "n t"]]]:
    """Every state that random walks come to, with up to `count` prompts that end with it after a legal walk."""
    place = min(_PREFIX, automaton.whole_states - 2)
    walks = automaton.sample_states(40 * automaton.config.states * count, seed)[:, : place + 1]
    for state in range(automaton.config.states):
        found = walks[walks[:, place] == state][:count]
        if len(found):
            yield state, automaton.write(found)


_PREFIX = 12
"""States before the one that is asked about."""
