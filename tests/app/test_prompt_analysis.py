import numpy as np
import pytest
from hypothesis import given, strategies as st

from workbench.core import Silent, TextError
from workbench_app import shelf
from workbench_app.analysis import LogitRows, Pass, check_length, largest, read_pass, reshape, small_maps
from workbench_app.shelf import Shelf


def logits_of(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape) * 3


@given(seed=st.integers(0, 50), k=st.integers(0, 15), p=st.floats(0.05, 1.0), temperature=st.floats(0.1, 3.0))
def test_dials_keep_a_distribution_and_its_order(seed, k, p, temperature):
    logits = logits_of(seed, 12)
    chances = reshape(logits, temperature, k, p)
    assert chances.sum() == pytest.approx(1)
    kept = np.flatnonzero(chances)
    assert len(kept) <= (k or 12)
    assert set(kept) == set(np.argsort(-logits, kind="stable")[: len(kept)])


def test_dials_against_the_definitions():
    logits = np.log([0.5, 0.3, 0.15, 0.05])
    np.testing.assert_allclose(reshape(logits), [0.5, 0.3, 0.15, 0.05])
    np.testing.assert_allclose(reshape(logits, top_k=2), [0.625, 0.375, 0, 0])
    np.testing.assert_allclose(reshape(logits, top_p=0.7), [0.625, 0.375, 0, 0])
    np.testing.assert_allclose(reshape(logits, temperature=0.5), np.square([0.5, 0.3, 0.15, 0.05]) / 0.365)
    np.testing.assert_allclose(reshape(logits, top_p=0.05), [1, 0, 0, 0])


@given(seed=st.integers(0, 50), count=st.integers(1, 20))
def test_largest_is_a_stable_sort(seed, count):
    values = np.random.default_rng(seed).integers(0, 5, size=14)
    assert largest(values, count).tolist() == np.argsort(-values, kind="stable")[:count].tolist()


def test_a_reading_agrees_with_its_definitions():
    logits, ids = logits_of(1, 4, 9), (3, 1, 8, 0)
    read = read_pass(Pass(ids, ("a", "b", "c", "d"), (False,) * 4, logits), top=2)
    chances = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    assert np.isnan(read.surprise[0])
    for t in range(1, 4):
        assert read.surprise[t] == pytest.approx(-np.log(chances[t - 1, ids[t]]))
        assert read.rank[t] == (chances[t - 1] > chances[t - 1, ids[t]]).sum() + 1
    np.testing.assert_allclose(read.entropy, -(chances * np.log(chances)).sum(-1))
    assert read.top_ids[2].tolist() == np.argsort(-logits[2])[:2].tolist()


def test_a_long_prompt_is_read_row_by_row_and_says_the_same(monkeypatch):
    held = Shelf()
    held.load("planted-places", Silent())
    ids = held.encode("planted-places", "the man from north korea saw a big dog and said the capital", None)
    short = held.run("planted-places", ids)
    monkeypatch.setattr(shelf, "HELD_TOKENS", 4)
    long = held.run("planted-places", ids)
    assert isinstance(long.logits, LogitRows)
    assert len(long.logits) == len(ids)
    np.testing.assert_allclose(long.logits[-1], short.logits[-1], atol=1e-4)
    with pytest.raises(IndexError):
        long.logits[len(ids)]
    one, two = read_pass(short), read_pass(long)
    np.testing.assert_allclose(two.entropy, one.entropy, atol=1e-4)
    np.testing.assert_allclose(two.surprise, one.surprise, atol=1e-4)
    for part in ("lens", "attention"):
        with pytest.raises(TextError, match=f"holds up to 4 tokens; found {len(ids)}"):
            getattr(held, part)("planted-places", ids, *([None] if part == "lens" else []))


def test_small_maps_keep_the_largest_of_a_block():
    maps = np.zeros((1, 100, 100))
    maps[0, 97, 3] = 1
    small = small_maps(maps, side=10)
    assert small.shape == (1, 10, 10)
    assert small[0, 9, 0] == 255
    assert small.sum() == 255
    assert small_maps(maps[:, :8, :8]).shape == (1, 8, 8)


def test_a_prompt_that_is_too_long_is_refused_with_both_numbers():
    with pytest.raises(TextError, match=r"up to 24 tokens; found 30"):
        check_length(30, n_ctx=24)
