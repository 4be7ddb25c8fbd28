"""TokFSM: the released graph, its exact floor, and labels that fit the text."""

import math

import numpy as np
import pytest
import torch

from workbench.core import ShapeError
from workbench.data import SCALED_AUTOMATON, Automaton, AutomatonConfig

PAPER, SMALL = Automaton(), Automaton(SCALED_AUTOMATON)
TINY = Automaton(AutomatonConfig(states=12, edges=3, graph_seed=7, length=8))


def test_the_graph_is_the_released_one():
    source = np.random.default_rng(42)
    rows = [set(source.choice(100, 10, replace=False).tolist()) for _ in range(100)]
    assert [set(row.tolist()) for row in PAPER.successors] == rows
    arriving = (PAPER.transitions > 0).sum(0)
    assert (int(arriving.min()), int(arriving.max())) == (3, 18)
    assert len(PAPER.trigrams) == 686


def test_the_papers_floor():
    assert PAPER.floor.loss == pytest.approx(1.1748, abs=5e-5)
    assert PAPER.floor.accuracy == pytest.approx(0.4638, abs=5e-5)
    assert PAPER.stationary_entropy == pytest.approx(math.log(10) / 2)


def enumerate_floor(automaton):
    """Every sequence with its probability, and the best prediction after every prefix, by counting."""
    sequences = [((s,), 1 / automaton.config.states) for s in range(automaton.config.states)]
    for _ in range(automaton.whole_states):
        sequences = [
            ((*walk, int(after)), p / automaton.config.edges)
            for walk, p in sequences
            for after in automaton.successors[walk[-1]]
        ]
    written = [(automaton.write(torch.tensor([walk]))[0].tolist(), p) for walk, p in sequences]
    prefixes = {}
    for ids, p in written:
        for end in range(1, len(ids)):
            after = prefixes.setdefault(tuple(ids[:end]), {})
            after[ids[end]] = after.get(ids[end], 0.0) + p
    loss = hits = 0.0
    for after in prefixes.values():
        total = sum(after.values())
        loss -= sum(p * math.log(p / total) for p in after.values())
        hits += max(after.values())
    predicted = automaton.config.length - 1
    return loss / predicted, hits / predicted


@pytest.mark.parametrize("length", [4, 7, 8])
def test_the_floor_is_that_of_counting_every_sequence(length):
    automaton = Automaton(TINY.config.model_copy(update={"length": length}))
    loss, accuracy = enumerate_floor(automaton)
    assert automaton.floor.loss == pytest.approx(loss, abs=1e-12)
    assert automaton.floor.accuracy == pytest.approx(accuracy, abs=1e-12)


@pytest.mark.parametrize("automaton", [PAPER, SMALL], ids=["paper", "scaled"])
def test_the_true_distribution_scores_the_floor_on_samples(automaton):
    ids = automaton.sample(2000, seed=1)
    assert ids.shape == (2000, 128)
    chances = automaton.next_tokens(ids)[:, :-1]
    torch.testing.assert_close(chances.sum(2), torch.ones(2000, 127, dtype=torch.float64))
    given = chances.gather(2, ids[:, 1:, None])
    assert bool((given > 0).all())
    assert float(-given.log().mean()) == pytest.approx(automaton.floor.loss, abs=2e-3)
    assert float((chances.argmax(2) == ids[:, 1:]).double().mean()) == pytest.approx(automaton.floor.accuracy, abs=4e-3)


def test_labels_name_the_states_and_pairs_that_were_written():
    states = SMALL.sample_states(50, seed=3)
    ids = SMALL.write(states)
    labels, pairs = SMALL.states_of(ids), SMALL.trigrams_of(ids)
    assert torch.equal(labels[:, 2::2], states[:, :63])
    assert bool((labels[:, 1::2] == -1).all())
    assert torch.equal(pairs[:, 3::2], states[:, : 62 + 1] * 10 + states[:, 1:64] // 10)
    assert bool((pairs[:, 0::2] == -1).all())
    legal = {tuple(row) for row in SMALL.trigrams.tolist()}
    assert {divmod(int(pair), 10) for pair in pairs[pairs >= 0]} <= legal
    assert bool(SMALL.is_legal(states[:, :-1].flatten(), states[:, 1:].flatten()).all())


def test_illegal_steps_are_told_from_legal_ones():
    everything = torch.arange(100)
    for before in (0, 57):
        found = PAPER.is_legal(torch.full((100,), before), everything)
        assert set(found.nonzero().flatten().tolist()) == set(PAPER.successors[before].tolist())
    assert not bool(SMALL.is_legal(torch.tensor([3, 70, -1]), torch.tensor([30, 3, 3])).any())


def test_a_chunk_is_a_pure_function_of_seed_and_number():
    assert torch.equal(PAPER.chunk(5, 4, seed=0), PAPER.chunk(5, 4, seed=0))
    assert not torch.equal(PAPER.chunk(5, 4, seed=0), PAPER.chunk(6, 4, seed=0))
    assert not torch.equal(PAPER.chunk(5, 4, seed=0), PAPER.chunk(5, 4, seed=1))


def test_what_is_no_sequence_of_the_automaton_is_refused():
    with pytest.raises(ShapeError, match="endoftext"):
        PAPER.states_of(torch.zeros(1, 5, dtype=torch.long))
    with pytest.raises(ValueError, match="distinct"):
        AutomatonConfig(states=5, edges=6)
