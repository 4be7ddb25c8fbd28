"""The graphs of the workspace as cards."""

import streamlit as st

from workbench.core import CircuitGraph
from workbench.figures import clip
from workbench.workspace import Entry
from workbench_app import frame, state
from workbench_app.drawing import SCORES
from workbench_app.focus import set_focus
from workbench_app.wording import show

from . import take, tracing

PER_PAGE = 12


def show_panel() -> None:
    """One card a graph; without any, how to make one."""
    tracing.answer()
    entries = state.workspace().list("graphs")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if st.button("New graph", type="primary", icon=":material/add:", key="ci_new"):
            tracing.dialog()
        with st.popover("Import", icon=":material/upload_file:"):
            take.bring()
        if entries:
            words, wanted = filters(entries)
    running()
    if not entries:
        frame.missing(
            "There is no graph in this workspace yet.",
            "A demonstration on a small model whose circuit is known takes half a minute and needs no download; "
            "a prompt of your own is traced with trained transcoders:",
            "workbench demo --quick",
            'workbench circuit trace "When Mary and John went to the store, John gave a drink to"',
            looked_in=state.workspace().folder("graphs"),
        )
        return
    found = [entry for entry in entries if matches(entry, words) and all(KINDS[kind](entry) for kind in wanted)]
    if len(found) < len(entries):
        with st.container(horizontal=True, vertical_alignment="center"):
            hidden = len(entries) - len(found)
            st.caption(f"{len(found)} of {len(entries)} graphs; {hidden} hidden by the words and filters above.")
            st.button("Show all", key="ci_relax", on_click=relax, type="tertiary")
    pages = max(1, -(-len(found) // PER_PAGE))
    page = st.pagination(pages, key="ci_page") if pages > 1 else 1
    shown = found[(page - 1) * PER_PAGE : page * PER_PAGE]
    for start in range(0, len(shown), 3):
        for column, entry in zip(st.columns(3), shown[start : start + 3], strict=False):
            with column, frame.guard():
                card(entry)


def filters(entries: list[Entry]) -> tuple[str, list[str]]:
    """Words to look for, and kinds of graphs."""
    words = st.text_input(
        "Find",
        key="ci_find",
        placeholder="words of the prompt, a model, a name",
        live=True,
        label_visibility="collapsed",
        max_chars=300,
        width=360,
    )
    counted = {kind: sum(map(test, entries)) for kind, test in KINDS.items()}
    offered = [kind for kind, count in counted.items() if 0 < count < len(entries)]
    if not offered:
        return words, []
    kinds = st.pills(
        "Only", offered, selection_mode="multi", key="ci_kinds", label_visibility="collapsed",
        format_func=lambda kind: f"{kind} ({counted[kind]})",
    )  # fmt: skip
    return words, list(kinds)


def relax() -> None:
    """Take every filter away."""
    st.session_state["ci_find"] = ""
    st.session_state["ci_kinds"] = []


def running() -> None:
    """Traces under way, and those that failed."""
    for job in state.jobs().jobs():
        if job.name.startswith("trace ") and job.active:
            frame.show_job(job, key="ci_running")
        elif job.name.startswith("trace ") and job.error:
            st.error(frame.plain(f"{job.name}: {job.error}"), icon=":material/error:")


def is_imported(entry: Entry) -> bool:
    """Whether another tool made it: it names no dictionaries of a workspace."""
    return entry.manifest is not None and not entry.manifest.details.get("dictionaries")


def is_validated(entry: Entry) -> bool:
    if entry.manifest is None:
        return False
    found = state.results_of(entry.manifest.content_hash)
    return "validation" in found or "interventions" in found


KINDS = {
    "traced here": lambda entry: entry.manifest is not None and not is_imported(entry),
    "imported": is_imported,
    "tested": is_validated,
}


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
        st.markdown(f"**{frame.plain(clip(graph.prompt, 400))}**")
        features = len(graph.find("feature"))
        facts = [
            f"{graph.metric} = {show(graph.metric_value)}",
            f"{len(graph.nodes):,} nodes ({features:,} features), {len(graph.weight):,} edges",
        ]
        st.caption(frame.plain(" · ".join([*facts, *scores(graph)])))
        marks = []
        if is_validated(entry):
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
            kwargs={"graph": entry.name, "node": None, "view": None},
        )


def scores(graph: CircuitGraph) -> list[str]:
    """The scores that were stored with the graph."""
    return [f"{name} {graph.scores[name]:.2f}" for name in SCORES if name in graph.scores]
