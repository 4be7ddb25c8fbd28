"""Two graphs side by side, aligned by unit: what both hold, what only one does, and what chance would share."""

import pandas as pd
import streamlit as st

from workbench.core import CircuitGraph
from workbench.workspace import Entry
from workbench_app import exhibit, frame, state
from workbench_app.focus import set_focus


def show_panel(entry: Entry, graph: CircuitGraph) -> None:
    """Choose the other graph; scores beside their controls, then the nodes."""
    model = graph.manifest.model.id if graph.manifest.model else None
    others = [
        e.name
        for e in state.workspace().list("graphs")
        if e.manifest and e.name != entry.name and (e.manifest.model.id if e.manifest.model else None) == model
    ]
    if not others:
        st.info("Comparing wants a second graph of the same model in this workspace.", icon=":material/difference:")
        return
    other = st.selectbox("Compare with", others, key="ci_compare", bind="query-params")
    two = state.graph(state.find_graph(other))
    result = state.comparison(graph.manifest.content_hash, two.manifest.content_hash, graph, two)
    rows = result.tables["nodes"]
    sides = {"shared": [], "only here": [], "only there": []}
    for row in rows:
        here, there = row["influence_first"] > 0, row["influence_second"] > 0
        side = "shared" if here and there else "only here" if here else "only there"
        sides[side].append({**row, "side": side})
    for column, (side, kept) in zip(st.columns(4), sides.items(), strict=False):
        column.metric(f"Nodes {side}", f"{len(kept):,}")
    left, right = st.columns(2)
    with left:
        st.markdown("**Agreement beside chance**")
        st.dataframe(pd.DataFrame(result.tables["scores"]), hide_index=True, alt="Scores of agreement")
        st.markdown(f"Here: {frame.plain(graph.prompt)}")
        st.markdown(f"There: {frame.plain(two.prompt)}")
        st.button("Open the other", key="ci_open_other", on_click=set_focus, kwargs={"graph": other, "node": None})
    with right, frame.guard():
        exhibit.figure(result, "ci_compare_fig", alt="Effects in both graphs")
    chosen = st.segmented_control("Nodes", list(sides), default="shared", required=True, key="ci_side")
    shown = pd.DataFrame(sides[chosen])
    if len(shown):
        st.dataframe(shown.drop(columns="side"), hide_index=True, alt=f"Nodes: {chosen}")
    else:
        st.caption("None.")
    exhibit.notes(result)
