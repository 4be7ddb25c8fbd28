"""reproduce: what a paper reports, beside the same measured here; each paper registers its own."""

import inspect
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from workbench.core import Progress, Result, Silent, WorkbenchError, get, names
from workbench.workspace import Workspace

from .reproduce_config import ReproduceConfig
from .reproduce_summary import SUMMARY, Compared, summary

log = logging.getLogger(__name__)

Reproduction = Callable[[Path, ReproduceConfig, Progress], Result]
"""(folder for long trainings, settings, progress) -> ours beside the paper's; registered as a `reproduction`."""


def reproduce(
    place: Workspace, name: str, config: ReproduceConfig | None = None, progress: Progress | None = None
) -> Result:
    """Measure again what the paper of that name reports; trainings go on where an earlier call stopped.

    Raises:
        ConfigError: no such reproduction, or no such run of it.
    """
    made: Reproduction = get("reproduction", name)
    with place.lock(f"reproduce-{name}"):
        return made(place.path / "reproductions" / name, config or ReproduceConfig(), progress or Silent())


def reproduce_all(place: Workspace, chosen: Sequence[str] = (), progress: Progress | None = None) -> Result:
    """Every reproduction from what is shipped, one after the other, in one table; one that fails stops no other.

    Table `summary`: reproduction, paper, what, ours, low, high, published, differs. Table `runs`: reproduction,
    seconds, error (None where there was none).
    """
    progress = progress or Silent()
    wanted = tuple(chosen) or names("reproduction")
    rows: list[dict[str, Any]] = []
    runs: list[dict[str, Any]] = []
    partial = False
    for name in wanted:
        if partial or progress.cancelled():
            partial = True
            break
        began, error = time.monotonic(), None
        try:
            found = reproduce(place, name, progress=_Named(progress, name))
            partial = found.partial
            rows += [{"reproduction": name, **row} for row in found.tables.get(SUMMARY) or _plain(name, found)]
        except WorkbenchError as failure:
            error = str(failure)
        except Exception as failure:  # the others' minutes are not lost for a mistake in one
            log.debug("reproduce %s", name, exc_info=True)
            error = f"{type(failure).__name__}: {str(failure).splitlines()[0] if str(failure) else ''}"
        runs.append({"reproduction": name, "seconds": time.monotonic() - began, "error": error})
    return Result(
        "reproductions",
        scalars={"failed": float(sum(run["error"] is not None for run in runs))},
        tables={SUMMARY: rows, "runs": runs},
        seed=0,
        partial=partial,
    )


def _plain(name: str, found: Result) -> list[dict[str, Any]]:
    """The scalars of a reproduction that compares in tables of its own."""
    told = f"tables of `workbench reproduce {name}`"
    return summary(*(Compared(name, key, value, published=told) for key, value in found.scalars.items()))


def list_reproductions() -> list[dict[str, str]]:
    """Names of what can be reproduced, with what is measured."""
    return [
        {"reproduction": name, "measures": (inspect.getdoc(get("reproduction", name)) or "").split("\n")[0]}
        for name in names("reproduction")
    ]


class _Named:
    """A Progress whose phases say which reproduction they belong to."""

    def __init__(self, inner: Progress, name: str) -> None:
        self._inner, self._name = inner, name
        self.advance, self.partial, self.cancelled = inner.advance, inner.partial, inner.cancelled

    def phase(self, name: str, total: float | None = None, unit: str = "") -> None:
        self._inner.phase(f"{self._name}: {name}", total, unit)
