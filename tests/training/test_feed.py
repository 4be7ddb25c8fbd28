"""Batches: every kept row once, outliers left out, units applied, memory reused."""

import torch
from hypothesis import given, strategies as st

from workbench.core import Site
from workbench.dictionaries import Scale
from workbench.training import Feed
from workbench.training.feed import Buffers

READ, WRITE = Site("mlp_in", 0), Site("mlp_out", 0)


def feed(limit: float | None = None) -> Feed:
    scales = {READ: Scale(torch.tensor([1.0, 2.0]), 0.5), WRITE: Scale(torch.zeros(2), 1.0)}
    return Feed(scales, {} if limit is None else {WRITE: limit})


def rows(n: int) -> dict[Site, torch.Tensor]:
    numbers = torch.arange(n, dtype=torch.float32)
    return {READ: torch.stack([numbers, -numbers], 1), WRITE: torch.stack([numbers, 0 * numbers], 1)}


@given(st.integers(1, 200), st.integers(1, 64), st.one_of(st.none(), st.integers(0, 9)), st.integers(0, 150))
def test_each_kept_row_comes_once(n, batch_rows, seed, limit):
    inputs, plan = rows(n), feed(limit)
    kept = plan.kept(inputs)
    assert kept.tolist() == list(range(min(n, limit + 1)))
    seen = [batch[WRITE][:, 0].tolist() for batch in plan.batches(inputs, kept, batch_rows, seed, Buffers())]
    assert sorted(row for batch in seen for row in batch) == kept.tolist()
    assert len(seen) == max(1, round(n / batch_rows)), "outliers do not change the number of steps"


def test_rows_come_in_the_units_of_training_and_the_chunk_is_left_alone():
    inputs = rows(5)
    before = {site: x.clone() for site, x in inputs.items()}
    (batch,) = feed().batches(inputs, torch.arange(5), 8, None, Buffers())
    torch.testing.assert_close(batch[READ], (inputs[READ] - torch.tensor([1.0, 2.0])) * 0.5)
    assert all(torch.equal(inputs[site], before[site]) for site in inputs)


def test_order_depends_on_the_seed_only():
    def order(seed):
        return [b[WRITE][:, 0].tolist() for b in feed().batches(rows(40), torch.arange(40), 8, seed, Buffers())]

    assert order(3) == order(3) != order(4)


def test_batches_share_memory():
    buffers, inputs = Buffers(), rows(40)
    places = {batch[READ].data_ptr() for batch in feed().batches(inputs, torch.arange(40), 8, None, buffers)}
    assert len(places) == 1


def test_a_row_that_is_no_number_is_kept_so_that_training_notices():
    inputs = rows(5)
    inputs[WRITE][2] = float("nan")
    assert feed(3.0).kept(inputs).tolist() == [0, 1, 2, 3]
