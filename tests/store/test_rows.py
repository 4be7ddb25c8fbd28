"""Rows: every kept row once per pass, chunks that depend on nothing but source, seed and number."""

import threading
from itertools import pairwise

import pytest
import torch
from hypothesis import given, strategies as st

from workbench.core import MaskPolicy, Site, StoreError
from workbench.store import CaptureConfig, StoreRows, StreamRows, capture
from workbench.store.prefetch import ahead
from workbench.store.row_order import RowOrder
from workbench.store.shards import partition
from workbench.store.text_index import TextIndex, real_positions, row_offsets

from .small_model import SITES, SPECIAL, SmallModel, expected_rows, packed, packed_lengths

CONFIG = CaptureConfig(dtype="float32", batch_sequences=4, shard_sequences=6)
POLICY = MaskPolicy(exclude_special=True, skip_first=2)


@pytest.fixture
def text():
    return packed(30)


@pytest.fixture(params=["store", "prefetched", "stream"])
def source(request, tmp_path, text):
    """A function (seed, passes) -> Rows over the same text."""
    model = SmallModel(policy=POLICY)
    if request.param == "stream":
        return lambda seed=0, passes=1: StreamRows(model, text, SITES, 7, seed, passes, batch_sequences=3)
    store = capture(model, text, SITES, tmp_path / "s", CONFIG)
    return lambda seed=0, passes=1: StoreRows(store, 40, seed, passes, prefetch=request.param == "prefetched")


def kept_rows(text) -> torch.Tensor:
    return text.mask(POLICY, SPECIAL)[real_positions(text)].nonzero().squeeze(1)


def collect(rows, start: int = 0) -> list[tuple]:
    return [
        (chunk.number, chunk.row_ids.clone(), {site: x.clone() for site, x in chunk.inputs.items()})
        for chunk in rows.chunks(start)
    ]


def test_every_kept_row_once_per_pass(source, text):
    rows = source(passes=3)
    chunks = collect(rows)
    kept = kept_rows(text)
    assert len(chunks) == rows.n_chunks
    assert rows.total_rows == 3 * len(kept)
    per_pass = rows.n_chunks // 3
    passes = [torch.cat([ids for _, ids, _ in chunks[p * per_pass : (p + 1) * per_pass]]) for p in range(3)]
    assert all(torch.equal(ids.sort().values, kept) for ids in passes)
    assert not torch.equal(passes[0], passes[1])


def test_rows_hold_what_the_model_computes(source, text):
    for site in SITES:
        expected = expected_rows(SmallModel(), text, site)
        for _, ids, inputs in collect(source()):
            assert inputs[Site.parse(site)].dtype == torch.float32
            torch.testing.assert_close(inputs[Site.parse(site)], expected[ids], rtol=0, atol=1e-6)


def test_the_same_seed_gives_the_same_rows_and_another_others(source):
    first, again, other = collect(source(4)), collect(source(4)), collect(source(5))
    for (_, ids, inputs), (_, ids_again, inputs_again) in zip(first, again, strict=True):
        assert torch.equal(ids, ids_again)
        assert all(torch.equal(inputs[site], inputs_again[site]) for site in inputs)
    assert not torch.equal(first[0][1], other[0][1])
    assert source(4).identity == source(4).identity != source(5).identity


def test_resuming_at_a_chunk_is_the_tail_of_a_full_run(source):
    whole = collect(source(passes=2))
    for start in (0, 1, len(whole) // 2, len(whole) - 1, len(whole)):
        tail = collect(source(passes=2), start)
        assert [number for number, _, _ in tail] == list(range(start, len(whole)))
        for (_, ids, inputs), (_, tail_ids, tail_inputs) in zip(whole[start:], tail, strict=True):
            assert torch.equal(ids, tail_ids)
            assert all(torch.equal(inputs[site], tail_inputs[site]) for site in inputs)


def test_one_chunk_alone_is_that_chunk(source):
    rows = source(2)
    chunks = collect(rows)
    alone = rows.chunk(3)
    assert torch.equal(alone.row_ids, chunks[3][1])
    assert all(torch.equal(alone.inputs[site], chunks[3][2][site]) for site in rows.sites)
    with pytest.raises(StoreError, match=f"no chunk {rows.n_chunks}"):
        rows.chunk(rows.n_chunks)


def test_neighbours_in_the_text_are_not_neighbours_in_a_chunk(source):
    ids = torch.cat([ids for _, ids, _ in collect(source())])
    assert (ids.diff() == 1).float().mean() < 0.2


def test_buffers_are_used_again(source):
    places = {chunk.inputs[Site("mlp_in", 0)].data_ptr() for chunk in source().chunks()}
    assert len(places) <= 3 < source().n_chunks


def test_store_chunks_have_the_size_asked_for(tmp_path, text):
    store = capture(SmallModel(), text, SITES, tmp_path / "s", CONFIG)
    rows = StoreRows(store, 64, sites=["mlp_in.0"], dtype=torch.bfloat16)
    sizes = [len(chunk) for chunk in rows.chunks()]
    assert set(sizes[:-1]) == {64}
    assert sum(sizes) == rows.total_rows
    chunk = rows.chunk(0)
    assert chunk.inputs.keys() == {Site("mlp_in", 0)}
    expected = expected_rows(SmallModel(), text, "mlp_in.0")[chunk.row_ids]
    assert torch.allclose(chunk.inputs[Site("mlp_in", 0)].float(), expected, atol=0.01)
    assert rows.ref["model"].id == "small-0"


def test_a_bfloat16_store_is_read_as_float32(tmp_path, text):
    store = capture(SmallModel(), text, SITES, tmp_path / "s", CaptureConfig())
    chunk = StoreRows(store, 50).chunk(1)
    for site in store.sites:
        exact = store.gather(site, chunk.row_ids.sort().values, torch.empty(50, *store.shape(site)).bfloat16())
        assert torch.equal(chunk.inputs[site], exact.flatten(1).float()[chunk.row_ids.argsort().argsort()])


def test_another_mask_may_be_read_but_not_other_tokens(tmp_path, text):
    store = capture(SmallModel(), text, SITES, tmp_path / "s", CONFIG)
    assert StoreRows(store, 9, policy=POLICY).total_rows == len(kept_rows(text))
    with pytest.raises(StoreError, match=r"captured with: BOS in front.*wanted: no BOS"):
        StoreRows(store, 9, policy=MaskPolicy(prepend_bos=False))
    with pytest.raises(StoreError, match="no row that counts"):
        StoreRows(store, 9, policy=MaskPolicy(skip_first=50))
    with pytest.raises(StoreError, match="no row that counts"):
        StreamRows(SmallModel(policy=MaskPolicy(skip_first=50)), text, SITES)


def test_the_stream_runs_every_sequence_once_in_small_batches(text):
    model = SmallModel()
    collect(StreamRows(model, text, SITES, 7, batch_sequences=3))
    assert max(len(batch.lengths) for batch in model.batches) == 3
    assert sum(len(batch.lengths) for batch in model.batches) == len(text)


lengths = st.lists(st.integers(1, 9), min_size=1, max_size=25)


@given(lengths, st.integers(1, 40), st.integers(0, 3), st.data())
def test_chunks_of_rows_partition_a_pass(lengths, size, number, data):
    keep = torch.tensor(data.draw(st.lists(st.booleans(), min_size=sum(lengths), max_size=sum(lengths))))
    order = RowOrder(torch.tensor(lengths), keep, seed=3)
    kept = keep.nonzero().squeeze(1)
    offsets = row_offsets(torch.tensor(lengths))
    assert order.counts.tolist() == [int(keep[a:b].sum()) for a, b in pairwise(offsets)]
    one_by_one = [
        row
        for sequence in order.sequences(number).tolist()
        for row in range(int(offsets[sequence]), int(offsets[sequence + 1]))
        if keep[row]
    ]
    found = []
    for first in range(0, order.total, size):
        rows = order.slice_of_pass(number, first, min(first + size, order.total))
        assert len(rows) == min(size, order.total - first)
        assert torch.equal(order.shuffled(rows, first).sort().values, rows.sort().values)
        found += rows.tolist()
    assert found == one_by_one
    assert sorted(found) == kept.tolist()


@given(lengths, st.integers(1, 30))
def test_shards_partition_sequences_and_rows(lengths, per_shard):
    shards = partition(torch.tensor(lengths), per_shard)
    sequences = [s for shard in shards for s in range(shard.first_sequence, shard.stop_sequence)]
    rows = [row for shard in shards for row in range(shard.first_row, shard.stop_row)]
    assert sequences == list(range(len(lengths)))
    assert rows == list(range(sum(lengths)))
    assert all(shard.stop_sequence - shard.first_sequence == per_shard for shard in shards[:-1])


@given(lengths, st.integers(0, 4), st.booleans())
def test_the_mask_of_a_store_is_the_mask_of_its_text(lengths, skip, special):
    text = packed_lengths(lengths)
    policy = MaskPolicy(skip_first=skip, exclude_special=special)
    real = real_positions(text)
    index = TextIndex(text.ids[real], text.lengths, text.document, text.start)
    assert torch.equal(index.mask(policy, SPECIAL), text.mask(policy, SPECIAL)[real])


def test_reading_ahead_keeps_order_errors_and_leaves_no_thread():
    assert list(ahead(iter(range(50)))) == list(range(50))

    def failing():
        yield 1
        raise StoreError("damaged")

    items = ahead(failing())
    assert next(items) == 1
    with pytest.raises(StoreError, match="damaged"):
        next(items)
    endless = ahead(iter(int, 1))
    assert next(endless) == 0
    endless.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "prefetch"]
