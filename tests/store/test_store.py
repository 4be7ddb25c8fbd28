"""ActivationStore: rows traced to their text, read back in any order, refused where they do not belong."""

from types import SimpleNamespace

import pytest
import torch

from workbench.core import MaskPolicy, Site, SiteError, StoreError, write_json
from workbench.store import CaptureConfig, capture, open_store

from .small_model import SITES, SPECIAL, SmallModel, expected_rows, packed

CONFIG = CaptureConfig(dtype="float32", batch_sequences=4, shard_sequences=6)


@pytest.fixture
def text():
    return packed(20)


@pytest.fixture
def store(tmp_path, text):
    return capture(SmallModel(), text, SITES, tmp_path / "store", CONFIG)


def test_every_row_is_traced_to_its_document_position_and_token(store, text):
    row = 0
    for sequence, length in enumerate(text.lengths.tolist()):
        for position in range(length):
            origin = store.row(row)
            assert origin.row == row
            assert (origin.sequence, origin.position) == (sequence, position)
            assert origin.token_id == int(text.ids[sequence, position])
            assert origin.start == int(text.start[sequence])
            assert origin.document == text.document_ids[int(text.document[sequence])]
            row += 1
    assert row == store.n_rows == len(store)
    with pytest.raises(StoreError, match=f"no row {row}.*rows 0 to {row - 1}"):
        store.row(row)


def test_tokens_and_positions_stand_beside_the_rows(store):
    origins = [store.row(row) for row in range(store.n_rows)]
    assert store.tokens.tolist() == [origin.token_id for origin in origins]
    assert store.index.positions().tolist() == [origin.position for origin in origins]


def test_context_stays_inside_the_sequence(store, text):
    tokenizer = SimpleNamespace(strings=lambda ids: [f"<{token}>" for token in ids])
    longest = int(text.lengths.argmax())
    ids = [f"<{token}>" for token in text.ids[longest, : int(text.lengths[longest])].tolist()]
    first = int(store.index.offsets[longest])
    assert store.context(first, tokenizer, width=2) == ("", ids[0], "".join(ids[1:3]))
    assert store.context(first + 4, tokenizer, width=2) == ("".join(ids[2:4]), ids[4], "".join(ids[5:7]))
    assert store.context(first + len(ids) - 1, tokenizer, width=99) == ("".join(ids[:-1]), ids[-1], "")


def test_reading_across_shards(store, text):
    whole = expected_rows(SmallModel(), text, SITES[0])
    rows = torch.randperm(store.n_rows, generator=torch.Generator().manual_seed(0))[:40].sort().values
    out = torch.empty(40, 8)
    assert store.gather(SITES[0], rows, out) is out
    torch.testing.assert_close(out, whole[rows], rtol=0, atol=1e-6)
    torch.testing.assert_close(store.read(SITES[0], 30, 77), whole[30:77], rtol=0, atol=1e-6)
    assert len(store.read(SITES[0], 5, 5)) == 0


def test_few_shards_stay_mapped(tmp_path):
    store = capture(SmallModel(), packed(40), SITES, tmp_path / "s", CONFIG.model_copy(update={"shard_sequences": 2}))
    store.read(SITES[0])
    assert len(store._open) == 8


def test_sequences_come_back_as_a_padded_batch(store, text):
    batch, values = store.read_sequences([3, 11], ["attn_z.0"])
    assert batch.lengths.tolist() == text.lengths[[3, 11]].tolist()
    assert torch.equal(batch.ids, text.ids[[3, 11], : batch.ids.shape[1]].long())
    assert values.keys() == {Site("attn_z", 0)}
    offset, length = int(store.index.offsets[11]), int(text.lengths[11])
    assert torch.equal(values[Site("attn_z", 0)][1, :length], store.read("attn_z.0", offset, offset + length))
    assert not values[Site("attn_z", 0)][1, length:].any()


def test_another_model_tokenizer_or_policy_is_refused(store):
    store.check_compatible(SmallModel())
    with pytest.raises(StoreError, match=r"of model small-0.*this model is small-1"):
        store.check_compatible(SmallModel(seed=1))
    with pytest.raises(StoreError, match=r"first 1 position.*model's policy is.*first 2 position"):
        store.check_compatible(SmallModel(policy=MaskPolicy(skip_first=2)))
    other = SmallModel()
    other.ref = other.ref.model_copy(update={"tokenizer_hash": "words"})
    with pytest.raises(StoreError, match=r"with tokenizer letters.*tokenizer is words"):
        store.check_compatible(other)


def test_a_site_that_was_not_captured(store):
    with pytest.raises(SiteError, match=r"has no rows at mlp_in.1.*did you mean mlp_in.0"):
        store.read("mlp_in.1")


def test_what_is_no_store(tmp_path, store):
    with pytest.raises(StoreError, match="no artifact at"):
        open_store(tmp_path / "nothing")
    write_json(store.folder / "manifest.json", {**store.manifest.model_dump(mode="json"), "schema_number": 99})
    with pytest.raises(StoreError, match="newer version"):
        open_store(store.folder)


def test_the_manifest_says_where_rows_come_from(store, text):
    manifest = open_store(store.folder).manifest
    assert manifest.model == SmallModel().ref
    assert manifest.text == text.ref
    assert manifest.mask == MaskPolicy()
    assert manifest.details["special_ids"] == list(SPECIAL)
    assert manifest.config["dtype"] == "float32"
