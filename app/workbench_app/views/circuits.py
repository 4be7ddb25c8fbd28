"""Circuits: the graphs of the workspace, and one of them in full."""

import streamlit as st

from workbench.core import ArtifactError
from workbench.figures import clip
from workbench_app import components, drawing, frame, layouts, state
from workbench_app.focus import focus, set_focus
from workbench_app.panels import comparison, gallery, interventions, node, subgraph, take
from workbench_app.wording import show

SEEN_BY = ("Groups", "Validate", "Take along")  # tabs that show what is pinned, drawn anew when that changes


def as_python() -> str:
    if not focus().graph:
        return "from workbench.workspace import Workspace\n\nWorkspace().list('graphs')"
    lines = [
        "from workbench import CircuitGraph",
        "from workbench.workspace import Workspace",
        "",
        f"graph = CircuitGraph.load(Workspace().path_of('graphs', {focus().graph!r}))",
        "graph.df().sort_values('influence', ascending=False).head(20)",
    ]
    if focus().node:
        lines.append(f"graph.nodes[graph.number({focus().node!r})]")
    return "\n".join(lines)


def title(entry, graph) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            "All graphs",
            icon=":material/arrow_back:",
            on_click=lambda: set_focus(graph=None, node=None, view=None),
            key="ci_back",
        )
        st.markdown(f"**{frame.plain(clip(graph.prompt, 600))}**")
    facts = [f"{frame.plain(graph.metric)} = {show(graph.metric_value)}"]
    facts += gallery.scores(graph)
    if graph.manifest.model:
        facts.append(frame.plain(graph.manifest.model.id))
    if gallery.is_imported(entry):
        facts.append(":blue-badge[imported]")
    if graph.manifest.partial:
        facts.append(":orange-badge[partial]")
    st.caption(" · ".join(facts))


def view_of(graph) -> str:
    """The view in the address if it is one of this graph, else the one that the graph opens in."""
    first = layouts.first(graph.manifest.content_hash)
    wanted = focus().view
    if wanted is None or wanted in layouts.names(graph.manifest.content_hash):
        return wanted or first
    st.warning(
        frame.plain(f"The address names the view {wanted}, which is none of this graph; the main view is shown."),
        icon=":material/link_off:",
    )
    return first


@st.fragment
def workbench(entry, view: str) -> None:
    components.begin("circuit")
    with frame.guard():
        graph = state.graph(entry)
        found = state.results_of(graph.manifest.content_hash)
        names, drawn = state.drawn(entry, found.get("unit_effects"))
        selected = known_node(graph)
        layout = layouts.read(view, graph)
        st.session_state["ci_pins"] = layout["pins"] if layout else []
        left, right = st.columns([9, 5], gap="medium")
        with left:
            components.agraph(
                f"ci_graph_{graph.manifest.content_hash[:12]}",
                drawn,
                selected,
                layout,
                lambda id: set_focus(node=id),
                lambda changed: change(view, graph, changed),
                labels=names.labels,
                badges=interventions.badges(state.tests_of(graph.manifest.content_hash), found),
                lit=st.session_state.get("ci_lit", ()),
            )
        with right:
            shown = selected or drawing.default_node(graph)
            if shown:
                node.show_panel(names, graph.number(shown), found, chosen=selected is not None)
    if st.session_state.pop("ci_changed", False) and st.session_state.get("ci_tab") in SEEN_BY:
        st.rerun()


def change(view: str, graph, changed) -> None:
    layouts.keep(view, graph, changed)
    st.session_state["ci_changed"] = True


@st.fragment
def nodes(entry) -> None:
    components.begin("nodes")
    graph = state.graph(entry)
    node.table(entry, graph, state.results_of(graph.manifest.content_hash))


def below(entry, view: str) -> None:
    """The tabs under the graph; only the open one computes."""
    graph = state.graph(entry)
    found = state.results_of(graph.manifest.content_hash)
    names, _ = state.drawn(entry, found.get("unit_effects"))
    layout = layouts.read(view, graph) or layouts.clean({}, set())
    panels = {
        "Validate": lambda: interventions.show_panel(entry, names, found, layout),
        "Groups": lambda: subgraph.show_panel(entry, names, found, view, layout),
        "Nodes": lambda: nodes(entry),
        "Compare": lambda: comparison.show_panel(entry, graph),
        "Take along": lambda: take.show_panel(entry, names, found, layout),
    }
    tabs = st.tabs(list(panels), key="ci_tab", on_change="rerun", bind="query-params")
    for tab, panel in zip(tabs, panels.values(), strict=True):
        if tab.open:
            with tab, frame.guard():
                panel()


def known_node(graph) -> str | None:
    """The selected node if this graph has it."""
    wanted = focus().node
    if wanted is None or any(item.id == wanted for item in graph.nodes):
        return wanted
    st.warning(
        frame.plain(f"The address names the node {wanted}, which is not in this graph."), icon=":material/link_off:"
    )
    return None


with frame.guard():
    entry = problem = None
    if wanted := focus().graph:
        try:
            entry = state.find_graph(wanted)
        except ArtifactError as error:
            problem = str(error)
    frame.actions(as_python(), title=f"Circuit {entry.name}" if entry else "", graph=entry.name if entry else "")
    if problem:
        st.warning(frame.plain(problem), icon=":material/link_off:")
    if entry is None:
        gallery.show_panel()
    else:
        graph = state.graph(entry)
        title(entry, graph)
        view = view_of(graph)
        workbench(entry, view)
        below(entry, view)
