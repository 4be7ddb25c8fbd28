"""The report draft of a workspace: what `Add to report` collected, in order, kept beside the labels."""

import uuid
from collections.abc import Mapping
from typing import Any

from workbench.core import CircuitGraph, Manifest, Result, WorkbenchError
from workbench.report import (
    NoteBlock,
    Report,
    compose,
    note_of_environment,
    note_of_graph,
    note_of_result,
)

from . import state

ID = "report-draft"
WORDS = ("title", "author", "finding", "confidence")


def blocks() -> list[dict[str, Any]]:
    """What was added, first to last.

    kind (result, graph, text or environment), title, text, address, python, and `result` or `graph` where it has one;
    `figure` (shown or not), `table` (its name, empty for the numbers) and `strip` (what colours its tokens, empty: no
    tokens) say what of a result is shown.
    """
    view = state.database().view(ID)
    return [{"id": str(n), **block} for n, block in enumerate(view.state["blocks"])] if view else []


def words() -> dict[str, str]:
    """Title, author, finding and confidence of the draft."""
    view = state.database().view(ID)
    told = view.state.get("words", {}) if view else {}
    return {name: str(told.get(name, "")) for name in WORDS}


def keep(changed: list[dict[str, Any]], told: Mapping[str, str] | None = None) -> None:
    """Replace the draft; without `told` its words stay."""
    state.database().save_view(ID, "report", {"blocks": changed, "words": dict(told or words())})


def add(
    title: str, *, address: str, python: str, result: Result | None = None, graph: str = "", strip: str = ""
) -> str:
    """Put one block at the end of the draft; a Result is saved into the workspace first. Returns what was added."""
    block: dict[str, Any] = {"kind": "result" if result else "graph" if graph else "text", "title": title}
    block |= {"id": uuid.uuid4().hex[:8], "address": address, "python": python}
    if result is not None:
        block["result"] = name = f"added-{result.kind.replace(' ', '-')}-{result.id}"
        path = state.workspace().path_of("results", name)
        if not path.is_dir():
            result.save(path)
    if graph:
        block["graph"] = graph
    if strip:
        block["strip"] = strip
    keep([*blocks(), block])
    return title


def write(kind: str, title: str, text: str = "") -> None:
    """Put words, or the environment, at the end of the draft."""
    keep([*blocks(), {"id": uuid.uuid4().hex[:8], "kind": kind, "title": title, "text": text}])


def result_of(block: Mapping[str, Any]) -> Result:
    """The Result that a block shows.

    Raises:
        ArtifactError: it is gone.
    """
    return Result.load(state.workspace().open("results", str(block.get("result", ""))).path)


def broken(found: list[dict[str, Any]]) -> dict[str, str]:
    """Blocks whose result or graph is gone or damaged: id -> why."""
    told = {}
    for block in found:
        try:
            if block["kind"] == "result":
                result_of(block)
            elif block["kind"] == "graph":
                state.graph(state.find_graph(block["graph"]))
        except WorkbenchError as error:
            told[block["id"]] = str(error)
    return told


def report(found: list[dict[str, Any]], told: Mapping[str, str]) -> Report:
    """The draft as a Report; blocks that cannot be read say so in their place."""
    assets: dict[str, Any] = {}
    wrong = broken(found)
    notes = [
        NoteBlock(title=block["title"], text=f"This block cannot be shown: {wrong[block['id']]}")
        if block["id"] in wrong
        else _note(block, assets)
        for block in found
    ]
    return compose(
        told["title"], notes, assets, author=told["author"], finding=told["finding"], confidence=told["confidence"],
        environment=Manifest(kind="report").versions,
    )  # fmt: skip


def _note(block: Mapping[str, Any], assets: dict[str, Any]) -> NoteBlock:
    shared: dict[str, Any] = {name: str(block.get(name, "")) for name in ("text", "address", "python")}
    if block["kind"] == "result":
        table, figure = str(block.get("table", "")), bool(block.get("figure", True))
        shared["strip"] = str(block.get("strip", ""))
        return note_of_result(result_of(block), block["title"], assets, table=table, figure=figure, **shared)
    if block["kind"] == "graph":
        entry = state.find_graph(block["graph"])
        graph: CircuitGraph = state.graph(entry)
        names, _ = state.drawn(entry, state.results_of(graph.manifest.content_hash).get("unit_effects"))
        labels = {node.id: names(node) for node in graph.nodes}
        return note_of_graph(graph, block["title"], assets, labels, **shared)
    if block["kind"] == "environment":
        return note_of_environment(Manifest(kind="report").versions)
    return NoteBlock(title=block["title"], **shared)
