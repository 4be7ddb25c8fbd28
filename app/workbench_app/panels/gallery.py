"""The graphs of the workspace as cards, and what can be taken along from one."""

import io
import zipfile

import pandas as pd
import streamlit as st

from workbench.core import CircuitGraph, Result
from workbench.workspace import Entry
from workbench_app import frame, state
from workbench_app.drawing import SCORES
from workbench_app.focus import set_focus
from workbench_app.wording import size

PER_PAGE = 12


def show_panel() -> None:
    """One card a graph; without any, how to make one."""
    entries = state.workspace().list("graphs")
    if not entries:
        with st.container(border=True):
            st.markdown("**There is no graph in this workspace yet.**")
            st.write(
                "A demonstration on a small model whose circuit is known takes half a minute and needs no download:"
            )
            st.code("workbench demo --quick", language="bash")
            st.write("Or trace a prompt of your own with trained transcoders:")
            st.code(
                'workbench circuit trace "When Mary and John went to the store, John gave a drink to"', language="bash"
            )
            st.caption(frame.plain(f"Looked in {state.workspace().folder('graphs')}."))
        return
    words = st.text_input(
        "Find",
        key="ci_find",
        placeholder="words of the prompt, a model, a name",
        live=True,
        label_visibility="collapsed",
    )
    found = [entry for entry in entries if matches(entry, words)]
    if len(found) < len(entries):
        st.caption(f"{len(found)} of {len(entries)} graphs; {len(entries) - len(found)} hidden by the words above.")
    pages = max(1, -(-len(found) // PER_PAGE))
    page = st.pagination(pages, key="ci_page") if pages > 1 else 1
    shown = found[(page - 1) * PER_PAGE : page * PER_PAGE]
    for start in range(0, len(shown), 3):
        for column, entry in zip(st.columns(3), shown[start : start + 3], strict=False):
            with column, frame.guard():
                card(entry)


def matches(entry: Entry, words: str) -> bool:
    """Every word occurs in the name, the model or the prompt."""
    if not words:
        return True
    text = entry.name
    if entry.manifest is not None:
        graph = state.graph(entry)
        text += f" {graph.prompt} {graph.metric} {entry.manifest.model.id if entry.manifest.model else ''}"
    return all(word.lower() in text.lower() for word in words.split())


def card(entry: Entry) -> None:
    """Prompt, metric, size, scores, whether it was validated."""
    with st.container(border=True, height="stretch"):
        if entry.manifest is None:
            st.markdown(f"**{frame.plain(entry.name)}**")
            st.error(frame.plain(entry.problem), icon=":material/broken_image:")
            return
        graph = state.graph(entry)
        st.markdown(f"**{frame.plain(graph.prompt)}**")
        features = len(graph.find("feature"))
        facts = [
            f"{graph.metric} = {graph.metric_value:.3g}",
            f"{len(graph.nodes):,} nodes ({features:,} features), {len(graph.weight):,} edges",
        ]
        st.caption(frame.plain(" · ".join([*facts, *scores(graph)])))
        marks = []
        if "validation" in state.results_of(entry.manifest.content_hash):
            marks.append(":green-badge[validated]")
        if entry.manifest.partial:
            marks.append(":orange-badge[partial]")
        made = entry.manifest.created[:16].replace("T", " ")
        model = entry.manifest.model.id if entry.manifest.model else "unknown model"
        st.caption(" ".join([frame.plain(f"{model}, {made}"), *marks]))
        st.button(
            "Open",
            key=f"ci_open_{entry.name}",
            icon=":material/hub:",
            on_click=set_focus,
            kwargs={"graph": entry.name, "node": None},
        )


def scores(graph: CircuitGraph) -> list[str]:
    """The scores that were stored with the graph."""
    return [f"{name} {graph.scores[name]:.2f}" for name in SCORES if name in graph.scores]


def downloads(entry: Entry, graph: CircuitGraph, found: dict[str, Result]) -> None:
    """The graph's folder as one file, its tables, the report if there is one, and where all of it came from."""
    with st.container(horizontal=True):
        st.download_button(
            f"Graph (our JSON and tensors, {size(entry.bytes)})",
            data=lambda: folder_zip(entry),
            file_name=f"{entry.name}.zip",
            on_click="ignore",
            icon=":material/download:",
            key="ci_zip",
        )
        for name in ("nodes", "edges"):
            st.download_button(
                f"{name.capitalize()} (CSV)",
                data=lambda name=name: graph.df(name).to_csv(index=False),
                on_click="ignore",
                file_name=f"{entry.name}-{name}.csv",
                icon=":material/table:",
                key=f"ci_csv_{name}",
            )
        for path in report_files(entry):
            st.download_button(
                f"Report ({path.suffix[1:].upper()}, {size(path.stat().st_size)})",
                data=path.read_bytes,
                file_name=f"{entry.name}{path.suffix}",
                on_click="ignore",
                icon=":material/description:",
                key=f"ci_report_{path.suffix}",
            )
    if not report_files(entry):
        st.caption(f"No report of this graph yet: `workbench circuit report {entry.name}`")
    manifest = graph.manifest.model_dump(mode="json", exclude_none=True)
    if graph.scores:
        with st.expander("Every score"):
            st.dataframe(pd.DataFrame(graph.scores.items(), columns=["score", "value"]), hide_index=True, alt="Scores")
    with st.expander("Where it came from"):
        st.json(manifest)
    st.caption(frame.plain(f"Also made from it: {', '.join(sorted(found)) or 'nothing yet'}. It lies in {entry.path}."))


def folder_zip(entry: Entry) -> bytes:
    """The files of an artifact, unchanged."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(p for p in entry.path.rglob("*") if p.is_file()):
            archive.write(path, f"{entry.name}/{path.relative_to(entry.path).as_posix()}")
    return buffer.getvalue()


def report_files(entry: Entry) -> list:
    """HTML, JSON and PDF of the report made from this graph."""
    assert entry.manifest is not None
    files = []
    for report in state.workspace().list("reports"):
        parents = report.manifest.parents.values() if report.manifest else ()
        if entry.manifest.content_hash in parents or report.name == entry.name:
            files += [
                p
                for p in sorted(report.path.glob("*"))
                if p.suffix in (".html", ".json", ".pdf") and p.name != "manifest.json"
            ]
    return files
