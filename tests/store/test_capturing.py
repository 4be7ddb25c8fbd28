"""Capture: what is written, in what pieces, and that nothing can spoil it."""

import errno
import json
import shutil
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from filelock import FileLock

from workbench.core import Interrupted, MaskPolicy, Silent, SiteError, StoreError, content_hash as hash_of_files
from workbench.store import CaptureConfig, StreamRows, capture, open_store, plan_capture, shards

from .small_model import SITES, SmallModel, expected_rows, packed

FLOAT = CaptureConfig(dtype="float32", batch_sequences=3, shard_sequences=7)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file's bytes; of the manifest everything but the time of its making."""
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    manifest = json.loads(files["manifest.json"])
    manifest.pop("created"), manifest.pop("name")
    return {**files, "manifest.json": json.dumps(manifest).encode()}


class Cancelling(Silent):
    """Cancels after some batches."""

    def __init__(self, batches: int) -> None:
        self.batches, self.done = batches, 0.0

    def advance(self, amount: float = 1) -> None:
        self.batches -= 1
        self.done += amount

    def cancelled(self) -> bool:
        return self.batches <= 0


def test_every_row_is_written_where_it_belongs(tmp_path):
    model, text = SmallModel(), packed(23)
    store = capture(model, text, SITES, tmp_path / "s", FLOAT)
    assert not store.partial
    assert store.n_rows == int(text.lengths.sum())
    for site in SITES:
        found = store.read(site).flatten(1)
        torch.testing.assert_close(found, expected_rows(model, text, site), rtol=0, atol=1e-6)
    assert store.read("attn_z.0").shape[1:] == (2, 4)
    store.verify()


def test_bfloat16_is_the_rounded_row(tmp_path):
    model, text = SmallModel(), packed(9)
    store = capture(model, text, SITES[:1], tmp_path / "s", CaptureConfig(batch_sequences=1))
    assert torch.equal(store.read(SITES[0]), expected_rows(model, text, SITES[0]).bfloat16())


def test_float16_is_refused():
    with pytest.raises(ValueError, match="float16 overflows"):
        CaptureConfig(dtype="float16")
    assert CaptureConfig.parse({"dtype": "bf16"}).dtype == "bfloat16"


def test_batches_never_cross_shards_and_are_cut_to_their_longest(tmp_path):
    model, text = SmallModel(), packed(20)
    capture(model, text, SITES, tmp_path / "s", FLOAT)
    batches = model.batches[2:]
    assert [len(batch.lengths) for batch in batches] == [3, 3, 1, 3, 3, 1, 3, 3]
    assert all(batch.ids.shape[1] == int(batch.lengths.max()) for batch in batches)


def test_cancelled_then_resumed_gives_the_same_bytes(tmp_path):
    text = packed(40)
    whole = capture(SmallModel(), text, SITES, tmp_path / "whole", FLOAT)
    part = capture(SmallModel(), text, SITES, tmp_path / "part", FLOAT, Cancelling(5))
    assert part.partial
    assert part.n_sequences == 7
    assert torch.equal(part.read(SITES[0]), whole.read(SITES[0], 0, part.n_rows))
    again = SmallModel()
    seen = Cancelling(1000)
    resumed = capture(again, text, SITES, tmp_path / "part", FLOAT, seen)
    assert not resumed.partial
    assert seen.done == whole.n_rows - part.n_rows
    assert contents(tmp_path / "part") == contents(tmp_path / "whole")
    assert resumed.manifest.content_hash == hash_of_files(tmp_path / "part")


def test_keyboard_interrupt_leaves_a_partial_store(tmp_path):
    class Impatient(Silent):
        def __init__(self):
            self.batches = 0

        def advance(self, amount=1):
            self.batches += 1
            if self.batches == 8:
                raise KeyboardInterrupt

    store = capture(SmallModel(), packed(40), SITES, tmp_path / "s", FLOAT, Impatient())
    assert store.partial
    assert store.n_sequences == 14


def test_cancelled_before_anything_was_whole(tmp_path):
    with pytest.raises(Interrupted, match="before anything was whole"):
        capture(SmallModel(), packed(40), SITES, tmp_path / "s", FLOAT, Cancelling(1))
    assert not capture(SmallModel(), packed(40), SITES, tmp_path / "s", FLOAT).partial


def test_a_complete_capture_is_not_made_twice(tmp_path):
    text = packed(20)
    capture(SmallModel(), text, SITES, tmp_path / "s", FLOAT)
    before = contents(tmp_path / "s")
    model = SmallModel()
    capture(model, text, SITES, tmp_path / "s", FLOAT)
    assert len(model.batches) == 2
    assert contents(tmp_path / "s") == before


@pytest.mark.parametrize("damage", ["flip", "truncate", "remove"])
def test_a_damaged_shard_is_named_and_made_anew(tmp_path, damage):
    text = packed(30)
    capture(SmallModel(), text, SITES, tmp_path / "s", FLOAT)
    before = contents(tmp_path / "s")
    path = tmp_path / "s" / "shard-000002.safetensors"
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    {
        "flip": lambda: path.write_bytes(data),
        "truncate": lambda: path.write_bytes(data[:-8]),
        "remove": path.unlink,
    }[damage]()
    with pytest.raises(StoreError, match=r"shard-000002.safetensors is missing or damaged"):
        open_store(tmp_path / "s", verify=True)
    if damage != "flip":
        with pytest.raises(StoreError, match=r"shard-000002.safetensors is missing or damaged"):
            open_store(tmp_path / "s")
    capture(SmallModel(), text, SITES, tmp_path / "s", FLOAT)
    assert contents(tmp_path / "s") == before


def test_a_damaged_text_is_found(tmp_path):
    capture(SmallModel(), packed(5), SITES, tmp_path / "s", FLOAT)
    (tmp_path / "s" / "documents.json").write_text("[]")
    with pytest.raises(StoreError, match=r"documents.json is missing or damaged"):
        open_store(tmp_path / "s", verify=True)


def test_half_written_files_are_discarded(tmp_path):
    text = packed(30)
    capture(SmallModel(), text, SITES, tmp_path / "s", FLOAT, Cancelling(5))
    stray = tmp_path / "s" / ".shard-000001.safetensors.1234abcd.tmp"
    stray.write_bytes(b"half")
    orphan = tmp_path / "s" / "shard-000001.safetensors"
    orphan.write_bytes(b"renamed but not recorded")
    capture(SmallModel(), text, SITES, tmp_path / "s", FLOAT)
    assert not stray.exists()
    capture(SmallModel(), text, SITES, tmp_path / "whole", FLOAT)
    assert contents(tmp_path / "s") == contents(tmp_path / "whole")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda a: {**a, "model": SmallModel(seed=1)}, r"its model is .*small-0.*small-1"),
        (lambda a: {**a, "text": packed(30, seed=1)}, "its text is .*wanted"),
        (lambda a: {**a, "sites": SITES[:2]}, "its sites are .*mlp_out.1.*wanted"),
        (
            lambda a: {**a, "config": FLOAT.model_copy(update={"dtype": "bfloat16"})},
            "its config is .*float32.*bfloat16",
        ),
        (lambda a: {**a, "model": SmallModel(policy=MaskPolicy(skip_first=3))}, "its mask is .*wanted"),
    ],
)
def test_another_capture_in_the_folder_is_refused(tmp_path, change, named):
    arguments = {"model": SmallModel(), "text": packed(30), "sites": SITES, "folder": tmp_path / "s", "config": FLOAT}
    capture(**arguments)
    before = contents(tmp_path / "s")
    with pytest.raises(StoreError, match=named):
        capture(**change(arguments))
    assert contents(tmp_path / "s") == before


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(StoreError, match="is no store and is not empty"):
        capture(SmallModel(), packed(3), SITES, tmp_path, FLOAT)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_disk_that_is_too_small_is_refused(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    text = packed(30)
    needed = plan_capture(SmallModel(), text, SITES, FLOAT, tmp_path).bytes_on_disk
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 0, needed - 1))
    with pytest.raises(StoreError, match=r"needs .*KB on disk.* .*KB are free"):
        capture(SmallModel(), text, SITES, tmp_path / "s", FLOAT)
    assert not (tmp_path / "s").exists()
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 0, needed))
    store = capture(SmallModel(), text, SITES, tmp_path / "s", FLOAT)
    assert sum(path.stat().st_size for path in store.folder.glob("*.safetensors")) <= needed


def test_a_disk_that_fills_up_loses_no_shard(tmp_path, monkeypatch):
    text, written = packed(30), []
    save = shards.save_file

    def full(tensors, path):
        if len(written) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(path)
        save(tensors, path)

    monkeypatch.setattr(shards, "save_file", full)
    with pytest.raises(StoreError, match=r"cannot write .*No space left.*complete shards are kept"):
        capture(SmallModel(), text, SITES, tmp_path / "s", FLOAT)
    store = open_store(tmp_path / "s", verify=True)
    assert store.partial
    assert store.n_sequences == 14
    assert not list(store.folder.glob(".*"))


def test_two_captures_into_one_folder(tmp_path):
    with FileLock(tmp_path / ".s.lock"), pytest.raises(StoreError, match="another process is capturing"):
        capture(SmallModel(), packed(3), SITES, tmp_path / "s", FLOAT)


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"cannot write in .*file.*name another folder"):
        capture(SmallModel(), packed(3), SITES, tmp_path / "file" / "s", FLOAT)


def test_sites_without_rows_and_nothing_to_do(tmp_path):
    with pytest.raises(SiteError, match=r"attn_pattern.0 has no row of fixed size"):
        capture(SmallModel(), packed(3), ["attn_pattern.0"], tmp_path / "s")
    with pytest.raises(SiteError):
        capture(SmallModel(), packed(3), ["mlp_in.9"], tmp_path / "s")
    with pytest.raises(StoreError, match="nothing to capture"):
        capture(SmallModel(), packed(3), [], tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_text_of_another_tokenizer_or_policy_is_refused(tmp_path):
    model, text = SmallModel(), packed(3)
    for verb in (lambda text: capture(model, text, SITES, tmp_path / "s"), lambda text: StreamRows(model, text, SITES)):
        model.policy = MaskPolicy()
        with pytest.raises(StoreError, match=r"small-0 reads tokens of tokenizer letters.*tokenizer words"):
            verb(replace(text, tokenizer_hash="words"))
        with pytest.raises(StoreError, match=r"policy is: BOS in front.*packed with no BOS"):
            verb(replace(text, ids=text.ids.clamp(min=2)))
        model.policy = MaskPolicy(prepend_bos=False)
        with pytest.raises(StoreError, match=r"policy is: no BOS.*packed with BOS in front"):
            verb(text)


def test_plan_counts_files_rows_and_bytes(tmp_path):
    text = packed(50)
    plan = plan_capture(SmallModel(), text, SITES, FLOAT, tmp_path)
    store = capture(SmallModel(), text, SITES, tmp_path / "s", FLOAT)
    size = sum(path.stat().st_size for path in store.folder.iterdir())
    assert plan.rows == store.n_rows
    assert plan.shards == len(list(store.folder.glob("shard-*"))) == 8
    assert 0.5 < size / plan.bytes_on_disk < 1.1
    assert plan.seconds > 0
    assert plan.tokens_per_second > 0
    assert plan.buffer_bytes == 7 * int(text.lengths.max()) * 24 * 4
    assert "8 files" in plan.describe()
    assert "to disk" in plan.describe()
    assert plan_capture(SmallModel(), text, SITES, FLOAT).write_speed is None
    with pytest.raises(StoreError, match="of memory for its buffers"):
        type(plan)(**{**vars(plan), "bytes_available": 10}).check()


def test_shards_hold_what_the_megabytes_allow():
    text = packed(300)
    plan = plan_capture(SmallModel(width=64), text, SITES, CaptureConfig(batch_sequences=4, shard_megabytes=1))
    assert plan.shard_sequences % 4 == 0
    assert plan.buffer_bytes <= 2**20
    assert plan.buffer_bytes > 2**19
