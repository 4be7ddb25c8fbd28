"""The numba set-up: its cache, its threads, forked processes and background threads."""

import multiprocessing
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numba
import pytest
import torch

import sparse_kernels
from sparse_kernels import encode_topk
from sparse_kernels.cpu import compiled


def _operands() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, int]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(-3, 4, (50, 6), generator=generator).float()
    return x, torch.randint(-3, 4, (80, 6), generator=generator).float(), torch.zeros(80), 5


SCRIPT = """
import torch, sparse_kernels
from sparse_kernels import decode
value = torch.ones(2, 2, requires_grad=True)
decode(torch.zeros(2, 2, dtype=torch.int64), value, torch.ones(3, 3), backend="cpu").sum().backward()
assert value.grad.tolist() == [[3.0, 3.0], [3.0, 3.0]]
print(sparse_kernels.__file__)
"""
MESSAGE = "compiling kernels for this processor, once"


def _run(
    cache: Path, env: dict[str, str] | None = None, before: Sequence[str] = ()
) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"WORKBENCH_CACHE": str(cache), "OMP_NUM_THREADS": "1"} | (env or {})
    environment.pop("NUMBA_CACHE_DIR", None)
    command = [*before, sys.executable, "-c", SCRIPT]
    return subprocess.run(command, check=False, timeout=300, env=environment, capture_output=True, text=True)


def test_the_first_use_says_that_it_compiles_and_later_processes_do_not(tmp_path: Path):
    first, second = _run(tmp_path), _run(tmp_path)
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert first.stderr.count(MESSAGE) == 1
    assert second.stderr == ""
    assert any((tmp_path / "numba").rglob("*.nbi"))


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """A copy of the package that cannot be written."""
    installed = tmp_path / "site" / "sparse_kernels"
    source = Path(str(sparse_kernels.__file__)).parent
    shutil.copytree(source, installed, ignore=shutil.ignore_patterns("__pycache__"))
    folders = [installed, *(path for path in installed.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    yield installed
    for folder in folders:
        folder.chmod(0o755)


@pytest.mark.parametrize("cached", [True, False])
def test_an_installation_that_cannot_be_written_works(tmp_path: Path, read_only: Path, cached: bool):
    cache = tmp_path / "cache" if cached else read_only / "cache"
    environment = {"PYTHONPATH": str(read_only.parent), "HOME": str(read_only), "XDG_CACHE_HOME": str(read_only)}
    run = _run(cache, env=environment, before=_bound_by_permissions(read_only))
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == str(read_only / "__init__.py")
    assert any(cache.rglob("*.nbi")) == cached
    assert ("compile in every process" in run.stderr) != cached
    assert not list(read_only.rglob("*.nb[ic]"))


def _bound_by_permissions(folder: Path) -> list[str]:
    """What to put before a command so that it may not write a folder without permission, as root may."""
    if not os.access(folder, os.W_OK):
        return []
    if not shutil.which("setpriv"):
        pytest.skip("this user may write everywhere")
    return ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]


def test_nothing_is_written_beside_the_source():
    encode_topk(*_operands(), backend="cpu")
    home = Path(str(sparse_kernels.__file__)).parent
    assert not list(home.rglob("*.nb[ic]"))


def test_a_folder_that_cannot_be_written_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    monkeypatch.setenv("WORKBENCH_CACHE", str(blocked))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    with compiled._cache_folder():
        assert str(tmp_path / "user" / "workbench" / "numba") == numba.config.CACHE_DIR
        assert compiled.caching()
    assert numba.config.CACHE_DIR == ""


def test_no_folder_at_all_means_no_cache(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    monkeypatch.setattr(compiled, "cache_candidates", lambda: iter(()))
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    with caplog.at_level("WARNING", "sparse_kernels"), compiled._cache_folder():
        assert not compiled.caching()
    assert "compile in every process" in caplog.text


def test_numba_keeps_to_the_threads_of_torch():
    before, own = torch.get_num_threads(), numba.get_num_threads()
    try:
        for wanted in (1, 2, 64):
            torch.set_num_threads(wanted)
            with compiled.threads() as parts:
                assert parts == min(wanted, numba.config.NUMBA_NUM_THREADS)
                if parts > 1:
                    assert numba.get_num_threads() == parts
    finally:
        torch.set_num_threads(before)
    assert numba.get_num_threads() == own


def _encode_in_child(queue: "multiprocessing.Queue[list]") -> None:
    torch.set_num_threads(1)
    with compiled.threads() as parts:
        queue.put([parts, encode_topk(*_operands(), backend="cpu")[0].tolist()])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_process_works_alone():
    wanted = encode_topk(*_operands(), backend="cpu")[0].tolist()
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_encode_in_child, args=(queue,))
    child.start()
    found = queue.get(timeout=120)
    child.join(timeout=60)
    assert child.exitcode == 0
    assert found == [1, wanted]


def test_background_threads_do_not_disturb_one_another():
    wanted = encode_topk(*_operands(), backend="cpu")
    failures: list[object] = []

    def work() -> None:
        for _ in range(20):
            index, value = encode_topk(*_operands(), backend="cpu")
            if not (torch.equal(index, wanted[0]) and torch.equal(value, wanted[1])):
                failures.append(index)

    workers = [threading.Thread(target=work) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=120)
    assert not failures


@pytest.mark.skipif(os.cpu_count() == 1, reason="one processor: there is nothing to run in parallel")
@pytest.mark.parametrize("layer", ["omp", "workqueue"])
def test_either_threading_layer_serves_several_threads(layer: str):
    script = """
import threading, torch
torch.set_num_threads(2)
from sparse_kernels import encode_topk
def work():
    for _ in range(20):
        assert encode_topk(torch.ones(40, 3), torch.eye(3), None, 1, backend="cpu")[0].sum() == 0
workers = [threading.Thread(target=work) for _ in range(3)]
[w.start() for w in workers]; [w.join() for w in workers]
import numba
print(numba.threading_layer())
"""
    environment = os.environ | {"NUMBA_THREADING_LAYER": layer, "OMP_NUM_THREADS": "2", "NUMBA_NUM_THREADS": "2"}
    run = subprocess.run(
        [sys.executable, "-c", script], check=False, timeout=200, env=environment, capture_output=True, text=True
    )
    if layer == "omp" and "No threading layer could be loaded" in run.stderr:
        pytest.skip("numba has no OpenMP layer on this system")
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == [layer]
