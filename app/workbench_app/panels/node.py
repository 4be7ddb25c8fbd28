"""One node of a graph: what it is, what fed it, what it fed, where else it fires; and all nodes as a table."""

from typing import Any

import pandas as pd
import streamlit as st

from workbench.core import CircuitGraph, Node, Result
from workbench.workspace import Entry
from workbench_app import components, frame, state
from workbench_app.components import Bar
from workbench_app.drawing import Names, accounting, connections, names_of
from workbench_app.focus import set_focus
from workbench_app.wording import share, show

SHOWN = 12


def show_panel(names: Names, number: int, found: dict[str, Result], chosen: bool) -> None:
    """The detail column beside the graph."""
    graph, node = names.graph, names.graph.nodes[number]
    st.markdown(f"**{frame.plain(names(node))}**")
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
    tabs = st.tabs(
        ["Inputs", "Outputs", "Paths", "Contexts", "Promotes", "Label"], key="ci_node_tab", on_change="rerun"
    )
    if tabs[0].open:
        with tabs[0]:
            edges(names, number, inputs=True)
            sums(graph, number)
    if tabs[1].open:
        with tabs[1]:
            edges(names, number, inputs=False)
    if tabs[2].open:
        with tabs[2], frame.guard():
            paths(names, number)
    if tabs[3].open:
        with tabs[3], frame.guard():
            contexts(found.get("contexts"), node)
    if tabs[4].open:
        with tabs[4], frame.guard():
            promotes(found.get("unit_effects"), node)
    if tabs[5].open:
        with tabs[5], frame.guard():
            label(names, node)


def paths(names: Names, number: int) -> None:
    """The strongest paths from the selected node to a target, or to it from a token; a click lights one."""
    graph, node = names.graph, names.graph.nodes[number]
    ends = [graph.nodes[i] for i in graph.find("logit") if i != number]
    ends += [graph.nodes[i] for i in graph.find("embed") if i != number]
    ends += [other for id in st.session_state.get("ci_pins", ()) if (other := _node(graph, id)) and other.id != node.id]
    labels = {other.id: f"{names(other)} @{other.position}" for other in ends}
    if not labels:
        return
    left, right = st.columns([3, 1])
    other = left.selectbox("Between this node and", list(labels), format_func=lambda id: labels[id], key="ci_path_end")
    k = int(right.number_input("Paths", 1, 20, 5, key="ci_path_k"))
    downwards = graph.number(other) < number
    first, last = (other, node.id) if downwards else (node.id, other)
    result = state.paths(graph.manifest.content_hash, graph, first, last, k)
    flow = result.scalars["flow"]
    rows = []
    for row in result.tables["paths"]:
        inner = [names(graph.nodes[graph.number(id)]) for id in row["nodes"][1:-1]]
        text = " → ".join(inner) or "directly"
        value = row["sign"] * row["strength"] / flow if flow else 0.0
        facts = (("steps", str(row["steps"])), ("strength", show(row["strength"])))
        rows.append(Bar(text, value, share(abs(value)), key=str(row["rank"]), facts=facts))
    told = f"{len(rows)} strongest paths, {share(result.scalars['carried'])} of the flow between the two"

    def light(rank: str) -> None:
        st.session_state["ci_lit"] = next(r["nodes"] for r in result.tables["paths"] if str(r["rank"]) == rank)

    components.bars(
        "ci_paths", rows, title=told if rows else "", signed=True, empty="No path joins these two.", on_pick=light
    )
    if st.session_state.get("ci_lit"):
        st.button("Put the light out", key="ci_unlight", on_click=st.session_state.pop, args=("ci_lit", None))


def _node(graph: CircuitGraph, id: str) -> Node | None:
    return next((node for node in graph.nodes if node.id == id), None)


def label(names: Names, node: Node) -> None:
    """What people call the unit; every label that it ever had stays in its history."""
    unit = node.unit
    if unit is None:
        st.caption("Only features, codes, neurons and heads have labels of their own.")
        return
    key = f"ci_label_{unit}"

    def save() -> None:
        state.database().set_label(unit, st.session_state[key].strip()[:500])

    text = names.labels.get(str(unit), "")
    st.text_input("Label of this unit, wherever it occurs", value=text, key=key, on_change=save, max_chars=500)
    for old in state.database().label_history(unit)[:8]:
        st.caption(frame.plain(f"{old.created[:16].replace('T', ' ')}, {old.author}: {old.text or '(taken away)'}"))


def edges(names: Names, number: int, inputs: bool) -> None:
    """The strongest connections as bars; a click walks along the edge."""
    graph = names.graph
    found = connections(graph, number, inputs)
    rows = []
    for edge in found[:SHOWN]:
        other = graph.nodes[edge.number]
        label = f"{names(other)} @{other.position}"
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


def rows_of(result: Result | None, table: str, node: Node) -> list[dict[str, Any]]:
    """The rows of a table that belong to the node's unit."""
    if result is None or node.unit is None:
        return []
    return [row for row in result.tables.get(table, []) if row.get("unit") == str(node.unit)]


def contexts(result: Result | None, node: Node) -> None:
    """Where the unit fires most in the text, with what licence the text comes."""
    rows = rows_of(result, "contexts", node)
    if result is None or not rows:
        missing = "No contexts of this unit are stored beside the graph; `workbench circuit report` collects them."
        st.caption("Only features have contexts." if node.unit is None else missing)
        return
    shown = [{**row, "source": str(row.get("document", ""))} for row in rows]
    components.examples("ci_contexts", shown)
    params = result.params
    licence = f"Text: {params['text']}, {params.get('licence', 'unknown licence')}." if "text" in params else ""
    st.caption(frame.plain(" ".join([*result.notes, licence])))


def promotes(result: Result | None, node: Node) -> None:
    """The tokens whose logits the unit raises and lowers most by its direct path."""
    rows = rows_of(result, "unit_effects", node)
    if result is None or not rows:
        missing = "No promoted tokens of this unit are stored beside the graph."
        st.caption("Only features write to the output." if node.unit is None else missing)
        return
    pairs = [*rows[0].get("promoted", []), *reversed(rows[0].get("suppressed", []))]
    bars = [Bar(str(text), float(value), show(float(value)), token=True) for text, value in pairs]
    components.bars("ci_promotes", bars, signed=True)
    st.caption(frame.plain(" ".join(result.notes)))


def table(entry: Entry, graph: CircuitGraph, found: dict[str, Result]) -> None:
    """Every node; a row selects it."""
    names = names_of(graph, found.get("unit_effects"))
    rows = pd.DataFrame(
        {
            "id": node.id,
            "label": names(node),
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
