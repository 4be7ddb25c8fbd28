"""The report draft of a workspace: what `Add to report` collected, in order, kept beside the labels."""

from typing import Any

from workbench.core import Result

from . import state

ID = "report-draft"


def blocks() -> list[dict[str, Any]]:
    """What was added, first to last: kind, title, address, python, and `result` or `graph` where it has one."""
    view = state.database().view(ID)
    return list(view.state["blocks"]) if view else []


def keep(changed: list[dict[str, Any]]) -> None:
    """Replace the draft."""
    state.database().save_view(ID, "report", {"blocks": changed})


def add(title: str, *, address: str, python: str, result: Result | None = None, graph: str = "") -> str:
    """Put one block at the end of the draft; a Result is saved into the workspace first. Returns what was added."""
    block: dict[str, Any] = {"kind": "result" if result else "graph" if graph else "text", "title": title}
    block |= {"address": address, "python": python}
    if result is not None:
        block["result"] = name = f"added-{result.kind.replace(' ', '-')}-{result.id}"
        path = state.workspace().path_of("results", name)
        if not path.is_dir():
            result.save(path)
    if graph:
        block["graph"] = graph
    keep([*blocks(), block])
    return title
