"""numba, set up once: where its compiled code is kept and how many threads it may use."""

import contextlib
import functools
import importlib
import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

logger = logging.getLogger("sparse_kernels")

_import_lock = threading.Lock()
_call_lock = threading.Lock()
_modules: dict[str, ModuleType] = {}
_forked = False


def kernel_module(name: str) -> ModuleType:
    """Import a module of numba kernels with the machine-code cache in a place that can be written."""
    module = _modules.get(name)
    if module is None:
        with _import_lock, _cache_folder():
            _announce_compilation()
            module = _modules.setdefault(name, importlib.import_module(f"sparse_kernels.cpu.{name}"))
    return module


def cache_candidates() -> Iterator[Path]:
    """Folders that may hold compiled kernels, best first: beside the workbench's own cache."""
    for variable, below in (("WORKBENCH_CACHE", "numba"), ("XDG_CACHE_HOME", "workbench/numba")):
        if os.environ.get(variable):
            yield Path(os.environ[variable]) / below
    with contextlib.suppress(RuntimeError):
        yield Path.home() / ".cache" / "workbench" / "numba"


@contextlib.contextmanager
def _cache_folder() -> Iterator[None]:
    """Point numba's cache at our folder while our kernels are declared, and only then.

    numba would write beside the source, which fails in a read-only installation. NUMBA_CACHE_DIR, where the
    user sets it, is obeyed. Where nothing can be written the kernels still work, compiled once a process.
    """
    configured = _config().CACHE_DIR
    if not configured or not _writable(Path(configured)):
        folder = next(filter(_writable, cache_candidates()), None)
        if folder is None:
            logger.warning("no folder for compiled kernels can be written; they compile in every process")
        _config().CACHE_DIR = str(folder or "")
    try:
        yield
    finally:
        _config().CACHE_DIR = configured


@functools.cache
def _announce_compilation() -> None:
    """Say it once a process when numba compiles one of our kernels, and only when it really does.

    A warning, because that is what a terminal and a notebook show of a library that nobody has set up.
    """
    from numba.core import event

    class Announcement(event.Listener):
        told = False

        def on_start(self, event: Any) -> None:
            if not self.told and event.data["dispatcher"].py_func.__module__.startswith("sparse_kernels."):
                self.told = True
                logger.warning("compiling kernels for this processor, once: up to half a minute for each kind")

        def on_end(self, event: Any) -> None: ...

    event.register("numba:compile", Announcement())


def _config() -> Any:
    """numba's settings, which it makes at import from the environment (type checkers cannot see them)."""
    import numba

    return numba.config


def caching() -> bool:
    """Whether numba found a cache folder (asked while the kernels are declared)."""
    return bool(_config().CACHE_DIR)


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)


@contextlib.contextmanager
def threads() -> Iterator[int]:
    """The number of parts to cut the work into, with numba held to PyTorch's own thread count.

    Both use the one OpenMP pool of the process where numba offers that layer. numba's fallback layer
    (workqueue) must not be entered twice at once, so calls queue up there. A process forked from one that
    had already used OpenMP may not start threads again (GNU's runtime aborts): it works alone.
    """
    import numba

    wanted = 1 if _forked else max(1, min(torch.get_num_threads(), _config().NUMBA_NUM_THREADS))
    if wanted == 1:
        yield 1
        return
    before = numba.get_num_threads()
    guard = _call_lock if _layer_needs_guard() else contextlib.nullcontext()
    with guard:
        numba.set_num_threads(wanted)
        try:
            yield wanted
        finally:
            numba.set_num_threads(before)


def by_rows(module: str, name: str, operands: tuple[object, ...], rows: int) -> None:
    """Run a kernel over `rows` rows: its parallel form, or the plain one where there is one thread."""
    kernels = kernel_module(module)
    with threads() as parts:
        if parts == 1:
            getattr(kernels, name)(*operands, 0, rows)
        else:
            getattr(kernels, f"{name}_parallel")(*operands, rows, parts)


def _layer_needs_guard() -> bool:
    import numba

    try:
        return numba.threading_layer() == "workqueue"
    except ValueError:  # no parallel kernel has run yet, so the layer is not known
        return True


def forked() -> bool:
    """Whether this process was forked from one: then it starts no threads."""
    return _forked


def _after_fork() -> None:
    global _forked
    _forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
