"""Damaged and hostile files through every reader: a clear error, no crash, no code run, bounded memory."""

import gc
import random
import sys
from pathlib import Path

import pytest
import torch
from exchange.damage import damages
from exchange.foreign_files import CASES

import workbench  # noqa: F401  (names the providers of the registry)
from workbench.core import WorkbenchError
from workbench.exchange import ImportConfig, Source, read_foreign

LIMIT = 512 << 20
_watching: list[list[str]] = []
_RUNS = {
    "os.system",
    "subprocess.Popen",
    "os.exec",
    "os.posix_spawn",
    "pickle.find_class",
    "exec",
    "os.fork",
    "marshal.loads",
}


def _audit(event: str, arguments: tuple) -> None:
    if _watching and event in _RUNS:
        _watching[-1].append(f"{event} {str(arguments)[:80]}")


sys.addaudithook(_audit)


def status(field: str) -> int:
    """Bytes, from the kernel's account of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise AssertionError(field)


def peak_above_baseline(work) -> int:
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    before = status("VmRSS")
    work()
    return status("VmHWM") - before


def attack(folder: Path, count: int, seed: int) -> dict[str, int]:
    """`count` damaged files, one at a time; returns how each ended."""
    draw, marker = random.Random(seed), folder / "MARKER"
    places = [(case, case.build(folder / str(number))) for number, case in enumerate(CASES)]
    ended = {"refused": 0, "read": 0}
    for _ in range(count):
        case, path = draw.choice(places)
        files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
        victim = draw.choice(files)
        whole = victim.read_bytes()
        damage = draw.choice(damages(victim.name))
        data, sure = damage(whole, draw, marker)
        victim.write_bytes(data)
        format = draw.choice([None, case.format])
        try:
            found = read_foreign(Source(path), ImportConfig.parse(case.config), format)
        except WorkbenchError as error:
            message = str(error)
            ended["refused"] += 1
        else:
            message = "it was read"
            assert not sure or data == whole, f"{case.name}: {victim.name} after {damage.__name__} was read"
            assert all(torch.isfinite(value).all() for made in found.values() for value in made.parameters())
            ended["read"] += 1
        finally:
            victim.write_bytes(whole)
        assert 10 < len(message) < 2000, message
    assert not marker.exists()
    return ended


def run(folder: Path, count: int, seed: int) -> dict[str, int]:
    attack(folder / "warm", 20, seed + 1)  # imports and caches belong to the baseline
    ended: dict[str, int] = {}
    _watching.append([])
    try:
        peak = peak_above_baseline(lambda: ended.update(attack(folder / "cold", count, seed)))
    finally:
        events = _watching.pop()
    assert peak <= LIMIT, f"{peak >> 20} MB"
    assert not [event for event in events if not event.startswith("exec ")], events[:5]
    assert sum(ended.values()) == count
    print(f"{count} damaged files: {ended}, {peak >> 20} MB above the baseline")
    return ended


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs the kernel's account of memory")
def test_300_damaged_files(tmp_path):
    assert run(tmp_path, 300, seed=1)["refused"] > 150


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs the kernel's account of memory")
def test_10_000_damaged_files(tmp_path):
    assert run(tmp_path, 10_000, seed=2)["refused"] > 5_000
