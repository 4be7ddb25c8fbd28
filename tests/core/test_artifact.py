import json
import os

import pytest
import torch

from workbench.core import ArtifactError, Manifest, read_artifact, write_artifact, write_bytes, write_json

# A manifest as schema 1 wrote it: later versions must go on reading it.
SCHEMA_1 = {
    "kind": "dictionary", "name": "old", "schema_number": 1, "content_hash": "0" * 64,
    "created": "2026-11-22T00:00:00+00:00",
    "model": {"id": "m", "weight_hash": "w", "dtype": "float32", "processing": [], "tokenizer_hash": "t"},
    "text": {"id": "x", "hash": "h", "licence": "CC0", "split": "train", "sequence_length": 128},
    "mask": {"prepend_bos": True, "exclude_special": False, "skip_first": 1},
    "edits": [], "parents": {"a": "b"}, "seed": 0, "threads": 2, "versions": {"torch": "2.13.0"},
    "partial": False, "config": {"k": 32}, "details": {},
}  # fmt: skip


def test_round_trip_and_content_hash(tmp_path):
    tensors = {"w": torch.randn(3, 2), "half": torch.ones(2, dtype=torch.bfloat16)}
    written = write_artifact(tmp_path / "a", Manifest(kind="dictionary"), tensors, {"x.json": {"b": 1}, "raw": b"\0"})
    read = read_artifact(tmp_path / "a", "dictionary")
    read.verify()
    assert read.manifest == written.manifest
    assert all(torch.equal(read.tensors()[name], tensor) for name, tensor in tensors.items())
    assert read.json("x.json") == {"b": 1}
    again = write_artifact(tmp_path / "b", Manifest(kind="dictionary"), tensors, {"x.json": {"b": 1}, "raw": b"\0"})
    assert again.manifest.content_hash == written.manifest.content_hash
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]


def test_a_failed_write_keeps_the_old_artifact_and_leaves_nothing_behind(tmp_path):
    write_artifact(tmp_path / "a", Manifest(kind="graph"), {"w": torch.ones(1)})
    with pytest.raises(ValueError, match="Out of range|not JSON"):
        write_artifact(tmp_path / "a", Manifest(kind="graph"), {"w": torch.zeros(1)}, {"bad.json": float("nan")})
    assert read_artifact(tmp_path / "a").tensors()["w"].item() == 1
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_a_full_disk_is_one_clear_line(tmp_path, monkeypatch):
    write_bytes(tmp_path / "kept", b"old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ArtifactError, match="No space left on device; free some space"):
        write_bytes(tmp_path / "kept", b"new")
    assert (tmp_path / "kept").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_older_schemas_are_read_and_newer_refused(tmp_path):
    folder = tmp_path / "old"
    write_json(folder / "manifest.json", SCHEMA_1)
    assert read_artifact(folder).manifest.parents == {"a": "b"}
    write_json(folder / "manifest.json", {**SCHEMA_1, "schema_number": 2})
    with pytest.raises(ArtifactError, match="newer version.*schema 2"):
        read_artifact(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "no artifact"), ("{", "cannot read the manifest"), ("{}", "not valid.*kind"), ("[]", "not valid")],
)
def test_damaged_manifests(tmp_path, content, message):
    if content is not None:
        (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(ArtifactError, match=message):
        read_artifact(tmp_path)


def test_wrong_kind_truncated_tensors_and_changed_content(tmp_path):
    folder = tmp_path / "a"
    artifact = write_artifact(folder, Manifest(kind="graph"), {"w": torch.ones(100)})
    with pytest.raises(ArtifactError, match="wanted a dictionary.*found a graph"):
        read_artifact(folder, "dictionary")
    path = folder / "tensors.safetensors"
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(ArtifactError, match="cannot read the tensors"):
        artifact.tensors()
    with pytest.raises(ArtifactError, match="does not match its manifest"):
        artifact.verify()


def test_the_manifest_is_readable_json(tmp_path):
    write_artifact(tmp_path / "a", Manifest(kind="graph", seed=3))
    data = json.loads((tmp_path / "a" / "manifest.json").read_text())
    assert data["seed"] == 3
    assert data["versions"]["torch"] == torch.__version__
