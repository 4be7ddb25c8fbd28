"""The learning rate over a run."""

import pytest
from hypothesis import given, strategies as st

from workbench.training.schedule import lr_factor, steps_in_chunk


def test_known_values():
    found = [lr_factor(step, total=100, warm_up=20, decay_share=0.6) for step in (0, 9, 19, 30, 40, 70, 99, 100, 500)]
    assert found == pytest.approx([0.05, 0.5, 1, 1, 1, 0.5, 1 / 60, 0, 0])


def test_constant_without_warm_up_and_decay():
    assert {lr_factor(step, 50, 0, 0.0) for step in range(50)} == {1.0}


@given(st.integers(1, 400), st.integers(0, 50), st.floats(0, 1))
def test_within_bounds_and_never_zero_before_the_end(total, warm_up, decay_share):
    for step in range(total):
        assert 0 < lr_factor(step, total, warm_up, decay_share) <= 1


@given(st.integers(1, 5000), st.integers(1, 2000))
def test_batches_are_near_the_wanted_size(rows, batch_rows):
    steps = steps_in_chunk(rows, batch_rows)
    assert steps >= 1
    if rows >= batch_rows:
        assert batch_rows * 2 / 3 - 1 <= rows / steps <= batch_rows * 1.5 + 1
