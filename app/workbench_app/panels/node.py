"""One node of a graph: what it is, what fed it, what it fed, where else it fires; and all nodes as a table."""

import pandas as pd
import streamlit as st

from workbench.core import CircuitGraph, Node, Result
from workbench.workspace import Entry
from workbench_app import components, frame, state
from workbench_app.components import Bar
from workbench_app.drawing import accounting, connections, title
from workbench_app.focus import set_focus
from workbench_app.wording import share, show

SHOWN = 12


def show_panel(graph: CircuitGraph, number: int, chosen: bool) -> None:
    """The detail column beside the graph."""
    node = graph.nodes[number]
    st.markdown(f"**{frame.plain(title(node, graph.tokens, graph.n_layers).strip())}**")
    where = "embedding" if node.layer < 0 else "output" if node.layer >= graph.n_layers else f"layer {node.layer}"
    token = graph.tokens[node.position]
    facts = [f"{node.kind}, {where}, position {node.position} ({token.strip() or repr(token)})"]
    if node.unit:
        facts.append(str(node.unit))
    st.caption(frame.plain(" · ".join(facts)) + ("" if chosen else " · click a node of the graph to see another"))
    for column, (name, value) in zip(
        st.columns(3),
        (("activation", show(node.activation)), ("influence", share(node.influence)), ("effect", show(node.effect))),
        strict=True,
    ):
        column.metric(name, value)
    tabs = st.tabs(["Inputs", "Outputs", "Contexts", "Promotes"], key="ci_node_tab", on_change="rerun")
    if tabs[0].open:
        with tabs[0]:
            edges(graph, number, inputs=True)
            sums(graph, number)
    if tabs[1].open:
        with tabs[1]:
            edges(graph, number, inputs=False)
    found = state.results_of(graph.manifest.content_hash)
    if tabs[2].open:
        with tabs[2], frame.guard():
            contexts(found.get("contexts"), node)
    if tabs[3].open:
        with tabs[3], frame.guard():
            promotes(found.get("unit_effects"), node)


def edges(graph: CircuitGraph, number: int, inputs: bool) -> None:
    """The strongest connections as bars; a click walks along the edge."""
    found = connections(graph, number, inputs)
    rows = []
    for edge in found[:SHOWN]:
        other = graph.nodes[edge.number]
        label = f"{title(other, graph.tokens, graph.n_layers)} @{other.position}"
        text = f"{show(edge.weight)} · {share(edge.share)}"
        rows.append(
            Bar(label, edge.weight, text, key=other.id, facts=(("kind", other.kind), ("weight", show(edge.weight))))
        )
    side = "input" if inputs else "output"
    rest = sum(edge.share for edge in found[SHOWN:])
    more = f"; the other {len(found) - SHOWN:,} hold {share(rest)}" if len(found) > SHOWN else ""
    heading = f"{len(found):,} {side}s, percent of the summed absolute weight{more}"
    empty = f"This node has no {side}s in the graph."
    components.bars(
        f"ci_{side}",
        rows,
        title=heading if found else "",
        signed=True,
        empty=empty,
        on_pick=lambda id: set_focus(node=id),
    )


def sums(graph: CircuitGraph, number: int) -> None:
    """Do the inputs add up to the pre-activation? Pruned graphs say how much is left out."""
    parts = accounting(graph, number)
    wanted = parts.pop("pre-activation")
    if wanted != wanted or len(parts) == 1:
        return
    total = sum(parts.values())
    listed = " + ".join(f"{name} {show(value)}" for name, value in parts.items())
    st.caption(frame.plain(f"{listed} = {show(total)} of the pre-activation {show(wanted)}"))


def rows_of(result: Result | None, node: Node) -> list[dict]:
    """The rows of a result's first table that belong to the node's unit."""
    if result is None or not result.tables or node.unit is None:
        return []
    table = next(iter(result.tables.values()))
    return [row for row in table if row.get("unit") == str(node.unit)]


def contexts(result: Result | None, node: Node) -> None:
    """Where the unit fires most in the text, its token marked."""
    if node.unit is None:
        st.caption("Only features have contexts.")
        return
    rows = rows_of(result, node)
    if not rows:
        st.caption("No contexts of this unit are stored beside the graph; `workbench circuit report` collects them.")
        return
    for row in rows[:12]:
        with st.container(border=True):
            st.markdown(marked(row))
            st.caption(
                frame.plain(
                    " · ".join(
                        f"{k} {show(v) if isinstance(v, float) else v}"
                        for k, v in row.items()
                        if k in ("activation", "document")
                    )
                )
            )
    for note in result.notes if result else ():
        st.caption(frame.plain(note))


def marked(row: dict) -> str:
    """A context as Markdown with its peak in bold colour."""
    before, token, after = (str(row.get(name, "")) for name in ("before", "token", "after"))
    return f"{frame.plain(before)}:blue-background[{frame.plain(token)}]{frame.plain(after)}".replace("\n", " ↵ ")


def promotes(result: Result | None, node: Node) -> None:
    """The tokens whose logits the unit raises and lowers most."""
    rows = rows_of(result, node)
    if not rows:
        st.caption(
            "Only features write to the output."
            if node.unit is None
            else "No promoted tokens of this unit are stored beside the graph."
        )
        return
    bars = [Bar(str(row["token"]), float(row["effect"]), show(float(row["effect"])), token=True) for row in rows]
    components.bars("ci_promotes", bars, title="change of the logit per unit of activation", signed=True)


def table(entry: Entry, graph: CircuitGraph, found: dict[str, Result]) -> None:
    """Every node; a row selects it."""
    rows = pd.DataFrame(
        {
            "id": node.id,
            "label": title(node, graph.tokens, graph.n_layers),
            "layer": node.layer,
            "position": node.position,
            "token": graph.tokens[node.position],
            "activation": node.activation,
            "influence": node.influence,
            "effect": node.effect,
        }
        for node in sorted(graph.nodes, key=lambda node: -node.influence)
    )

    def chosen() -> None:
        picked = st.session_state["ci_nodes"]["selection"]["rows"]
        if picked:
            set_focus(node=str(rows["id"][picked[0]]))

    st.dataframe(
        rows, hide_index=True, on_select=chosen, selection_mode="single-row", key="ci_nodes", alt="Nodes of the graph"
    )
