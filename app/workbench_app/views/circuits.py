"""Circuits: the graphs of the workspace, and one of them in full."""

import streamlit as st

from workbench.core import ArtifactError
from workbench_app import components, drawing, frame, state
from workbench_app.focus import focus, set_focus
from workbench_app.panels import gallery, node, validation


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


def pins_of(graph_hash: str) -> list[str]:
    view = state.database().view(f"pins-{graph_hash[:12]}")
    return list(view.state["pins"]) if view else []


def title(entry, graph) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            "All graphs", icon=":material/arrow_back:", on_click=lambda: set_focus(graph=None, node=None), key="ci_back"
        )
        st.markdown(f"**{frame.plain(graph.prompt)}**")
    facts = [f"{frame.plain(graph.metric)} = {graph.metric_value:.3g}"]
    facts += gallery.scores(graph)
    if graph.manifest.model:
        facts.append(frame.plain(graph.manifest.model.id))
    if graph.manifest.partial:
        facts.append(":orange-badge[partial]")
    st.caption(" · ".join(facts))


@st.fragment
def workbench(entry) -> None:
    components.begin("circuit")
    with frame.guard():
        graph = state.graph(entry)
        graph_hash = graph.manifest.content_hash
        found = state.results_of(graph_hash)
        names, drawn = state.drawn(entry, found.get("unit_effects"))
        selected = known_node(graph)
        left, right = st.columns([9, 5], gap="medium")
        with left:
            components.agraph(
                "ci_graph",
                drawn,
                selected,
                pins_of(graph_hash),
                lambda id: set_focus(node=id),
                lambda pins: state.database().save_view(f"pins-{graph_hash[:12]}", graph_hash, {"pins": pins}),
            )
        with right:
            shown = selected or drawing.default_node(graph)
            if shown:
                node.show_panel(names, graph.number(shown), found, chosen=selected is not None)
        tabs = st.tabs(["Validation", "Nodes", "Take along"], key="ci_tab", on_change="rerun", bind="query-params")
        for tab, panel in zip(tabs, (validation.show_panel, node.table, gallery.downloads), strict=True):
            if tab.open:
                with tab, frame.guard():
                    panel(entry, graph, found)


def known_node(graph) -> str | None:
    """The selected node if this graph has it."""
    wanted = focus().node
    if wanted is None or any(item.id == wanted for item in graph.nodes):
        return wanted
    st.warning(
        frame.plain(f"The address names the node {wanted}, which is not in this graph."), icon=":material/link_off:"
    )
    return None


frame.actions(as_python())
with frame.guard():
    entry = None
    wanted = focus().graph
    if wanted:
        try:
            entry = state.find_graph(wanted)
        except ArtifactError as error:
            st.warning(frame.plain(str(error)), icon=":material/link_off:")
    if entry is None:
        gallery.show_panel()
    else:
        title(entry, state.graph(entry))
        workbench(entry)
