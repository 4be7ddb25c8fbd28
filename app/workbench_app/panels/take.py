"""Graphs out to files of other tools, and in from them."""

import io
import json
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import streamlit as st

from workbench.circuits import PruneConfig, prune
from workbench.core import ArtifactError, CircuitGraph, Result
from workbench.exchange import GraphFile, write_graph
from workbench.figures import graph_svg
from workbench.recipes import import_graph, report_by_name, slug
from workbench.report import FORMATS
from workbench.workspace import Entry
from workbench_app import frame, layouts, state, work
from workbench_app.drawing import Names
from workbench_app.focus import set_focus
from workbench_app.wording import size

from . import interventions

LARGEST = 200_000_000  # bytes of a file that is taken in
BLOCK = 1 << 20
KINDS = ["json", "gz", "graphml"]


def bring() -> None:
    """Take in a graph file of circuit-tracer, Neuronpedia or GraphML: checked in full before anything is kept."""
    told = st.file_uploader(
        "A graph of circuit-tracer or Neuronpedia (.json, .json.gz), or GraphML", type=KINDS, key="ci_import",
        max_upload_size=LARGEST // 1_000_000,
    )  # fmt: skip
    st.caption(f"Up to {size(LARGEST)}; nothing in it is run, and only what can be drawn is sent to the page.")
    if told is None:
        return
    key = f"{told.file_id}"
    if st.session_state.get("ci_imported") == key:
        return
    st.session_state["ci_imported"] = key
    with frame.guard(), st.spinner("Reading the graph …"):
        open_file(told, told.name)
        st.rerun()


def open_file(stream: Any, name: str) -> str:
    """Copy an upload to a temporary file block by block, read it, keep the graph; returns its name here.

    Raises:
        ArtifactError: it is too large, or no graph.
    """
    suffix = ".graphml" if name.endswith(".graphml") else ".json.gz" if name.endswith(".gz") else ".json"
    with tempfile.TemporaryDirectory(prefix="workbench-import-") as folder:
        path, taken = Path(folder) / f"graph{suffix}", 0
        with open(path, "wb") as file:
            while block := stream.read(BLOCK):
                taken += len(block)
                if taken > LARGEST:
                    raise ArtifactError(f"the file holds more than {size(LARGEST)}", hint="prune it where it was made")
                file.write(block)
        read = import_graph(state.workspace(), path, name=free_name(Path(name).name.split(".")[0]))
    chosen = {
        "pins": list(read.pinned),
        "groups": [{"name": label, "members": list(members)} for label, members in read.supernodes],
    }
    layouts.keep(layouts.first(read.graph.manifest.content_hash), read.graph, chosen)
    for note in read.notes:
        st.toast(frame.plain(note), icon=":material/info:")
    set_focus(graph=read.slug, node=None, view=None)
    return read.slug


def free_name(wanted: str) -> str:
    """A name that no graph of the workspace has yet."""
    base = slug(wanted)
    names = {entry.name for entry in state.workspace().list("graphs")}
    name, number = base, 2
    while name in names:
        name, number = f"{base}-{number}", number + 1
    return name


def show_panel(entry: Entry, names: Names, found: dict[str, Result], layout: dict[str, Any]) -> None:
    """Every form in which a graph leaves, its report, and where it came from."""
    graph = names.graph
    whole = st.toggle(
        "Every node and edge", key="ci_whole",
        help="Off: pruned to what matters most; pinned and grouped nodes always stay.",
    )  # fmt: skip
    with st.container(horizontal=True):
        _button(f"Graph (our JSON and tensors, {size(entry.bytes)})", "zip", entry, lambda: folder_zip(entry))
        for format, ending in (("circuit-tracer", "json"), ("graphml", "graphml")):
            label = "circuit-tracer JSON" if ending == "json" else "GraphML"
            _button(label, ending, entry, lambda f=format, e=ending: exported(graph, entry.name, layout, f, e, whole))
        _button("Picture (SVG)", "svg", entry, lambda: picture(names))
        for name in ("nodes", "edges"):
            _button(f"{name.capitalize()} (CSV)", "csv", entry, lambda n=name: graph.df(n).to_csv(index=False), name)
        _button("This view (JSON)", "view.json", entry, lambda: json.dumps(layout, indent=1, sort_keys=True))
    _report(entry, graph)
    manifest = graph.manifest.model_dump(mode="json", exclude_none=True)
    if graph.scores:
        with st.expander("Every score"):
            st.dataframe(pd.DataFrame(graph.scores.items(), columns=["score", "value"]), hide_index=True, alt="Scores")
    with st.expander("Where it came from"):
        st.json(manifest)
    st.caption(frame.plain(f"Also made from it: {', '.join(sorted(found)) or 'nothing yet'}. It lies in {entry.path}."))


def _button(label: str, ending: str, entry: Entry, make: Callable[[], str | bytes], part: str = "") -> None:
    name = f"{entry.name}{'-' if part else ''}{part}.{ending}"
    st.download_button(
        label, data=make, file_name=name, on_click="ignore", icon=":material/download:", key=f"ci_take_{part}{ending}"
    )


def chosen_part(graph: CircuitGraph, layout: dict[str, Any], whole: bool) -> CircuitGraph:
    """The pruned graph with everything pinned or grouped, or all of it."""
    if whole:
        return graph
    small = prune(graph, PruneConfig())
    kept = {node.id for node in small.nodes}
    kept |= {*layout["pins"], *(member for group in layout["groups"] for member in group["members"])}
    return graph.subgraph(i for i, node in enumerate(graph.nodes) if node.id in kept)


def exported(graph: CircuitGraph, name: str, layout: dict[str, Any], format: str, ending: str, whole: bool) -> bytes:
    """A graph as another tool's file, with the pins and groups of a view."""
    part = chosen_part(graph, layout, whole)
    known = {node.id for node in part.nodes}
    supernodes = tuple((group["name"], tuple(m for m in group["members"] if m in known)) for group in layout["groups"])
    file = GraphFile(part, name, tuple(id for id in layout["pins"] if id in known), supernodes)
    with tempfile.TemporaryDirectory(prefix="workbench-export-") as folder:
        return write_graph(file, Path(folder) / f"graph.{ending}", format).read_bytes()


def picture(names: Names) -> str:
    """The strongest nodes as a stand-alone SVG."""
    small = prune(names.graph, PruneConfig())
    labels = {node.id: names(node) for node in small.nodes}
    return graph_svg(small, labels=labels)


def _report(entry: Entry, graph: CircuitGraph) -> None:
    st.markdown("**Report**")
    with st.container(horizontal=True):
        for path in report_files(entry):
            st.download_button(
                f"{path.name} ({size(path.stat().st_size)})",
                data=path.read_bytes,
                file_name=f"{entry.name}-{path.name}",
                on_click="ignore",
                icon=":material/description:",
                key=f"ci_report_{path.name}",
            )
    if interventions.missing(graph):
        if not report_files(entry):
            st.caption("A report needs the model and the dictionaries of the graph.")
        return
    formats = st.pills("Forms", list(FORMATS), default=["html", "json"], selection_mode="multi", key="ci_forms")
    if not formats:
        return
    made = work.run(
        f"report-{graph.manifest.content_hash[:12]}-{'-'.join(formats)}", "Write the report",
        lambda progress: report_by_name(
            state.workspace(), entry.name, tuple(formats), progress=progress, loader=state.shelf().loader
        ),
        name=f"report {entry.name}", command=f"workbench circuit report {entry.name}",
        about="What it still lacks (validation, contexts) is made first.",
    )  # fmt: skip
    if made is not None:
        st.success(frame.plain(f"Written: {', '.join(path.name for path in made)}."), icon=":material/check:")


def folder_zip(entry: Entry) -> bytes:
    """The files of an artifact, unchanged."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(p for p in entry.path.rglob("*") if p.is_file() and not p.is_symlink()):
            archive.write(path, f"{entry.name}/{path.relative_to(entry.path).as_posix()}")
    return buffer.getvalue()


def report_files(entry: Entry) -> list[Path]:
    """The renderings of the reports made from this graph."""
    assert entry.manifest is not None
    files: list[Path] = []
    for report in state.workspace().list("reports"):
        parents = report.manifest.parents.values() if report.manifest else ()
        if entry.manifest.content_hash in parents or report.name == entry.name:
            files += [report.path / file for file, _ in FORMATS.values() if (report.path / file).is_file()]
    return files
