"""What a report of a fault should hold: versions, machine, what is registered, counts, kinds of errors; no words."""

import time
from collections.abc import Iterable
from typing import Any

from workbench.core import names
from workbench.models import known_models
from workbench.workspace import Job, Workspace

from .doctor import examine

REGISTRIES = ("dictionary", "gate", "format", "text", "labelled text", "task", "figure", "kernel benchmark")


def diagnostics(place: Workspace, jobs: Iterable[Job] = (), most: int = 50) -> dict[str, Any]:
    """The state of an installation as plain values, for a file that can be shown to others.

    It holds no prompt, no label, no name of an artifact and no message of an error, because those may quote a prompt.

    Args:
        jobs: newest first; the first `most` are told by state, page, duration and the place of their error.
    """
    found = examine(place.path)
    counts: dict[str, dict[str, int]] = {}
    for entry in place.list():
        kind = counts.setdefault(entry.folder, {"count": 0, "damaged": 0, "bytes": 0})
        kind["count"] += 1
        kind["damaged"] += bool(entry.problem)
        kind["bytes"] += entry.bytes
    return {
        "made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "versions": dict(found.params),
        **{name: rows for name, rows in found.tables.items() if name != "disk"},
        "disk": [{key: row[key] for key in ("place", "GB taken", "GB free")} for row in found.tables["disk"]],
        "registered": {kind: list(names(kind)) for kind in REGISTRIES}
        | {"model": [model.name for model in known_models()]},
        "workspace": counts,
        "jobs": [
            {"state": job.state, "page": job.page, "seconds": round(job.seconds, 2), "error": job.trouble}
            for job, _ in zip(jobs, range(most), strict=False)
        ],
    }
