"""The caches of the server and what the session asks of them; the only file that names Streamlit's caches.

The rooms are named as modules: their parts, and torch with them, are imported at the first use, after the
page's title is on the screen.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from workbench import (
    circuits as circuits_room,
    core,
    dictionaries as dictionaries_room,
    training as training_room,
    workspace as places,
)

from .analysis import Pass, Reading, read_pass
from .drawing import Names, names_of, payload
from .focus import INLINE, PROMPTS, Focus, change_focus, focus, from_query, prompt_id, set_focus, write_address
from .shelf import Shelf

KEPT = 24  # results of ended jobs that pages can still show


def workspace() -> places.Workspace:
    """The workspace that the app was started on."""
    return places.Workspace()


def database() -> places.Database:
    """Labels and views of the workspace; its file is made when it is first asked for."""
    return _database(str(workspace().path))


@st.cache_resource(max_entries=4, show_spinner=False)
def _database(folder: str) -> places.Database:
    return places.Database(Path(folder))


@st.cache_resource(show_spinner=False)
def shelf() -> Shelf:
    """The models in memory."""
    return Shelf()


@st.cache_resource(show_spinner=False)
def jobs() -> places.JobManager:
    """Long work of this server."""
    return places.JobManager()


@st.cache_resource(show_spinner=False)
def _requests() -> dict[str, places.Job]:
    return {}


def job_of(key: str) -> places.Job | None:
    """The latest job of a request (see `work.run`)."""
    return _requests().get(key)


def start_job(
    key: str, name: str, work: Callable[[core.Progress], Any], command: str = "", uses_model: bool = True
) -> None:
    """Start the job of a request unless it runs already."""
    job, requests = job_of(key), _requests()
    if job is None or not job.active:
        requests[key] = jobs().submit(
            name, work, command=command, uses_model=uses_model, page=_page(), address=_query()
        )
    for old in [key for key, job in requests.items() if not job.active][:-KEPT]:
        del requests[old]


def retry_job(job: places.Job) -> None:
    """Start an ended job anew; the page that asked for it sees the new one."""
    again, requests = jobs().retry(job), _requests()
    requests.update({key: again for key, held in requests.items() if held is job})


def _query() -> dict[str, str]:
    """The address of what is on the page; the token of the server stays where it is."""
    return {key: str(value) for key, value in st.query_params.items() if key != "token"}


def _page() -> str:
    return str(st.session_state.get("page", ""))


@st.cache_resource(max_entries=2, show_spinner="Opening the dictionaries …")
def _dictionaries(path: str, content_hash: str) -> dictionaries_room.DictionarySet:
    return dictionaries_room.load_dictionaries(Path(path))


def dictionaries(entry: places.Entry) -> dictionaries_room.DictionarySet:
    """A set of dictionaries of the workspace, kept by its content.

    Raises:
        ArtifactError: the folder is damaged.
    """
    if entry.manifest is None:
        raise core.ArtifactError(entry.problem)
    return _dictionaries(str(entry.path), entry.manifest.content_hash)


def loading(name: str) -> places.Job | None:
    """The latest job that loads a model."""
    return next((job for job in jobs().jobs() if job.name == f"load {name}"), None)


def start_loading(name: str) -> None:
    """Load a model in the background, once."""
    job = loading(name)
    if job is None or not job.active:
        command = f"workbench models show {name}"
        jobs().submit(f"load {name}", lambda progress: shelf().load(name, progress), command=command, page=_page())


# Passes are large and only read, so they are kept as they are: cache_data would copy them at every look.
@st.cache_resource(max_entries=3, show_spinner="Running the model …")
def prompt_pass(name: str, ids: tuple[int, ...]) -> Pass:
    """One pass over a prompt."""
    return shelf().run(name, ids)


@st.cache_resource(max_entries=8, show_spinner=False)
def reading(name: str, ids: tuple[int, ...]) -> Reading:
    """The measures of every position of a pass."""
    return read_pass(prompt_pass(name, ids))


@st.cache_resource(max_entries=8, show_spinner="Reading every layer out …")
def lens(name: str, ids: tuple[int, ...], target: int | None) -> core.Result:
    """The logit lens of a prompt."""
    return shelf().lens(name, ids, target)


@st.cache_resource(max_entries=2, show_spinner="Computing every attention pattern …")
def attention(name: str, ids: tuple[int, ...]) -> tuple[np.ndarray, core.Result]:
    """Attention patterns and head scores of a prompt."""
    return shelf().attention(name, ids)


@st.cache_resource(max_entries=8, show_spinner="Splitting the prediction …")
def effects(name: str, ids: tuple[int, ...], at: int, target: int, foil: int) -> core.Result:
    """What writes one token rather than another at a position of a prompt."""
    return shelf().effects(name, ids, at, target, foil)


def forget_passes() -> None:
    """Let go of what was computed on prompts; models and jobs stay."""
    for cached in (prompt_pass, reading, lens, attention, effects):
        cached.clear()


@st.cache_resource(max_entries=4, show_spinner=False)
def _graph(path: str, content_hash: str) -> core.CircuitGraph:
    return core.CircuitGraph.load(Path(path))


def graph(entry: places.Entry) -> core.CircuitGraph:
    """A graph of the workspace, kept by its content.

    Raises:
        ArtifactError: the folder is damaged.
    """
    if entry.manifest is None:
        raise core.ArtifactError(entry.problem)
    return _graph(str(entry.path), entry.manifest.content_hash)


@st.cache_resource(max_entries=4, show_spinner=False)
def _drawn(
    path: str, content_hash: str, named: int, scanned: str, _effects: core.Result | None
) -> tuple[Names, dict[str, Any]]:
    names = names_of(_graph(path, content_hash), _effects)
    return names, payload(names.graph, names, densities(names.graph) if scanned else {})


def _scan_path(graph: core.CircuitGraph) -> Path:
    return workspace().path_of("stores", f"{graph.manifest.details.get('dictionaries') or 'none'}-scan")


def densities(graph: core.CircuitGraph) -> dict[str, float]:
    """Unit -> share of scanned tokens on which it fires, where the workspace has a scan of the graph's dictionaries."""
    from workbench.features import has_statistics, open_scan

    path, found = _scan_path(graph), {}
    try:
        scan = open_scan(path) if path.is_dir() and has_statistics(path) else None
    except core.ArtifactError:  # damaged: the Features page says so
        return {}
    parents = graph.manifest.parents.values()
    if scan is None or scan.manifest.parents.get("dictionaries", "") not in parents:
        return {}
    for node in graph.nodes:
        if node.unit is not None and node.unit.artifact == graph.manifest.details["dictionaries"]:
            with contextlib.suppress(core.ConfigError, IndexError):
                found[str(node.unit)] = scan.density(node.unit)
    return found


def drawn(entry: places.Entry, effects: core.Result | None) -> tuple[Names, dict[str, Any]]:
    """What the nodes of a graph are called, people's labels first, and what the browser draws of it."""
    assert entry.manifest is not None
    named = len(effects.tables.get("unit_effects", [])) if effects else 0
    manifest = _scan_path(graph(entry)) / "manifest.json"
    scanned = str(manifest.stat().st_mtime_ns) if manifest.is_file() else ""
    names, sent = _drawn(str(entry.path), entry.manifest.content_hash, named, scanned, effects)
    return replace(names, labels=labels_of(names.graph)), sent


def labels_of(graph: core.CircuitGraph) -> dict[str, str]:
    """Unit -> the label that people gave it, for the units of a graph."""
    own = {node.unit for node in graph.nodes if node.unit is not None}
    return {str(unit): text for unit, text in database().labels().items() if unit in own}


@st.cache_resource(max_entries=32, show_spinner="Searching paths …")
def paths(graph_hash: str, _graph: core.CircuitGraph, source: str, target: str, k: int) -> core.Result:
    """The strongest paths between two nodes of a graph."""
    return circuits_room.strongest_paths(_graph, source, target, k)


@st.cache_resource(max_entries=8, show_spinner="Comparing the graphs …")
def comparison(first: str, second: str, _one: core.CircuitGraph, _two: core.CircuitGraph) -> core.Result:
    """Two graphs, pruned alike, side by side."""
    return circuits_room.compare(circuits_room.prune(_one), circuits_room.prune(_two))


def find_graph(wanted: str) -> places.Entry:
    """The graph that an address names, by name or by the start of its content hash.

    Raises:
        ArtifactError: there is none; near names are offered.
    """
    entries = workspace().list("graphs")
    for entry in entries:
        same = entry.manifest is not None and entry.manifest.content_hash.startswith(wanted)
        if wanted and (entry.name == wanted or same):
            return entry
    raise core.ArtifactError(
        f"the graph {wanted!r} is not in this workspace",
        hint=core.nearest(wanted, [e.name for e in entries], "there are"),
    )


@st.cache_resource(max_entries=64, show_spinner=False)
def _result(path: str, content_hash: str) -> core.Result:
    return core.Result.load(Path(path))


def results_of(graph_hash: str) -> dict[str, core.Result]:
    """The newest result of each kind that was made from a graph."""
    found: dict[str, core.Result] = {}
    for entry in workspace().list("results"):
        if entry.manifest is None:
            continue
        result = _result(str(entry.path), entry.manifest.content_hash)
        if result.inputs.get("graph") == graph_hash:
            found.setdefault(result.kind, result)
    return found


def tests_of(graph_hash: str) -> list[core.Result]:
    """Every intervention that was run on a graph, newest first."""
    entries = [e for e in workspace().list("results") if e.manifest is not None and "-test-" in e.name]
    found = [_result(str(e.path), e.manifest.content_hash) for e in entries if e.manifest is not None]
    return [r for r in found if r.kind == "interventions" and r.inputs.get("graph") == graph_hash]


@st.cache_resource(max_entries=64, show_spinner=False)
def _run(path: str) -> training_room.RunLog:
    return training_room.RunLog(Path(path))


def runs() -> list[training_room.RunLog]:
    """Every training that left a record in the workspace, the latest written first; only what is new is read."""
    folders = [workspace().folder(kind) for kind in ("dictionaries", "runs", "models")]
    found = [_run(str(path)) for path in training_room.find_runs(folders)]
    for run in found:
        run.refresh()
    return found


def run_path(name: str) -> str:
    """Where a run lies below the workspace."""
    return next((str(run.folder.relative_to(workspace().path)) for run in runs() if run.name == name), name)


def arrive(page: str) -> None:
    """Enter a page: read its address on the way in, write it otherwise; the first model named at the start."""
    if "focus" not in st.session_state:
        st.session_state["focus"] = Focus(model=os.environ.get("WORKBENCH_APP_MODEL"))
    if st.session_state.get("page") != page:
        st.session_state["page"] = page
        st.session_state["address_problems"] = _adopt(dict(st.query_params))
    write_address(page)


def _adopt(query: dict[str, str]) -> list[str]:
    changes, problems = from_query(query)
    st.session_state["missing_prompt"] = ""
    for field in PROMPTS:
        if wanted := changes.pop(f"{field}_id", None):
            view = database().view(f"prompt-{wanted}")
            if view is None:
                problems.append(f"The prompt {wanted} of the address is not in this workspace.")
                st.session_state["missing_prompt"] = problems[-1]
            else:
                changes[field] = view.state["text"]
    if changes:
        set_focus(**changes)
    return problems


def ask(text: str, field: str = "prompt") -> None:
    """Make a text the prompt (before a rerun); a long one is kept in the workspace so that its link works.

    Args:
        field: `other`: what the prompt is compared with; the position stays.
    """
    if len(text) > INLINE:
        database().save_view(f"prompt-{prompt_id(text)}", "prompt", {"text": text})
    if field == "other":
        change_focus(other=text)
    elif text != focus().prompt:
        change_focus(prompt=text, position=None)
