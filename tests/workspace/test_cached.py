"""Things made once in the cache."""

import errno
import os
import threading

import pytest

from workbench.core import ArtifactError, Manifest
from workbench.workspace import build_once, cache_folder


def builder(calls: list[int], text: str = "made"):
    def build(folder):
        calls.append(1)
        (folder / "file.txt").write_text(text)
        return Manifest(kind="text", name="thing")

    return build


def test_made_once_and_opened_afterwards():
    calls: list[int] = []
    folder = cache_folder() / "things" / "one"
    for _ in range(2):
        artifact = build_once(folder, "text", builder(calls))
        artifact.verify()
        assert (artifact.path / "file.txt").read_text() == "made"
    assert len(calls) == 1


def test_many_threads_make_it_once():
    calls: list[int] = []
    folder = cache_folder() / "things" / "one"
    threads = [threading.Thread(target=build_once, args=(folder, "text", builder(calls))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1


def test_a_failure_leaves_nothing_behind_and_can_be_repeated():
    folder = cache_folder() / "things" / "one"

    def fails(staging):
        (staging / "half.txt").write_text("half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(ArtifactError, match=r"cannot write .*one. No space left on device. free some space"):
        build_once(folder, "text", fails)
    assert [path.name for path in folder.parent.iterdir()] == [".one.lock"]
    assert build_once(folder, "text", builder([])).manifest.name == "thing"


def test_what_a_killed_process_left_is_swept():
    folder = cache_folder() / "things" / "one"
    stale = folder.with_name(".one.deadbeef.tmp")
    stale.mkdir(parents=True)
    build_once(folder, "text", builder([]))
    assert not stale.exists()


def test_another_kind_is_refused():
    folder = cache_folder() / "things" / "one"
    build_once(folder, "text", builder([]))
    with pytest.raises(ArtifactError, match="wanted a model"):
        build_once(folder, "model", builder([]))
