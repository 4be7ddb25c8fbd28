"""Core neurons against counting by hand."""

import pytest
import torch
from hypothesis import given, settings, strategies as st

from workbench.sparsity import CoreCounter, core_size, overlap, random_core, sentence_core, token_core


def slow_token_core(row: list[float], alpha: float) -> set[int]:
    sizes = sorted((abs(value) for value in row if value), reverse=True)
    if not sizes:
        return set()
    least = sizes[-(-int(alpha * 1000 * len(sizes)) // 1000) - 1]
    return {neuron for neuron, value in enumerate(row) if value and abs(value) >= least}


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.lists(st.integers(-4, 4), min_size=6, max_size=6), min_size=1, max_size=5),
    alpha=st.sampled_from([0.125, 0.25, 0.5, 1.0]),
)
def test_token_cores_are_the_largest_sizes(rows, alpha):
    found = token_core(torch.tensor(rows, dtype=torch.float32), alpha)
    for row, kept in zip(rows, found, strict=True):
        assert set(kept.nonzero().flatten().tolist()) == slow_token_core([float(v) for v in row], alpha)


def test_the_sentence_core_counts_tokens():
    # Neuron 2 is in three token cores, 0 in two, 1 in one; alpha 1/3 of three non-zero values keeps one each.
    hidden = torch.tensor([[9.0, 1, 2], [9, 1, 2], [1, 2, -9], [1, 2, 9], [1, 2, 9.0], [2, 9, 1]])
    assert sentence_core(hidden, 0.3, 0.3).tolist() == [2]
    assert sentence_core(hidden, 0.3, 0.6).tolist() == [0, 2]
    assert sentence_core(hidden, 0.3, 1.0).tolist() == [0, 1, 2]


def test_equal_counts_go_to_the_larger_sum_then_the_lower_number():
    assert sentence_core(torch.tensor([[3.0, 3, 0, 0], [0, 0, 5, 5]]), 0.5, 0.5).tolist() == [2, 3]
    assert sentence_core(torch.tensor([[3.0, 3, 3, 3]]), 0.5, 0.5).tolist() == [0, 1]


def test_core_is_everything_at_alpha_and_beta_one():
    hidden = torch.randn(7, 50, generator=torch.Generator().manual_seed(0))
    assert token_core(hidden, 1.0).all()
    assert sentence_core(hidden, 1.0, 1.0).tolist() == list(range(50))
    assert token_core(torch.relu(hidden), 1.0).equal(hidden > 0)


def test_a_counter_may_be_fed_in_pieces():
    hidden = torch.randn(40, 30, generator=torch.Generator().manual_seed(1))
    counter = CoreCounter(30, 0.4)
    for piece in hidden.split(7):
        counter.add(piece)
    assert counter.core(0.25).equal(sentence_core(hidden, 0.4, 0.25))
    assert counter.tokens == 40


def test_sizes_overlaps_and_random_cores():
    assert [core_size(1536, beta) for beta in (0.25, 0.1, 1e-9, 1)] == [384, 154, 1, 1536]
    first, second = torch.tensor([0, 1, 2, 3]), torch.tensor([2, 3, 4, 5])
    assert overlap([first], [second]) == 0.5
    assert overlap([first, first], [first, second]) == 0.75
    drawn = random_core(100, 0.3, seed=0, layer=1)
    assert len(set(drawn.tolist())) == 30
    assert drawn.equal(random_core(100, 0.3, seed=0, layer=1))
    assert not drawn.equal(random_core(100, 0.3, seed=0, layer=2))
    assert overlap([drawn], [random_core(100, 0.3, seed=0, layer=2)]) == pytest.approx(0.3, abs=0.2)
