"""What people chose of a graph: its views, what is pinned, its groups, and groups that suggest themselves."""

from typing import Any

import pandas as pd
import streamlit as st

from workbench.circuits import GroupConfig, Grouping, suggest_groups
from workbench.core import CircuitGraph, Progress, Result
from workbench.recipes import find_dictionaries
from workbench.workspace import Entry
from workbench_app import frame, layouts, state, work
from workbench_app.drawing import Names
from workbench_app.focus import set_focus

UNPINNED = 60  # features that are looked at for groups where nothing is pinned


def views(graph: CircuitGraph, id: str, layout: dict[str, Any] | None) -> None:
    """Which view is open, and how to keep another beside it."""
    names = layouts.names(graph.manifest.content_hash)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        key = f"ci_view_{graph.manifest.content_hash[:12]}_{id}"
        chosen = st.selectbox(
            "View", list(names), index=list(names).index(id) if id in names else 0,
            format_func=lambda one: frame.plain(names[one]), key=key, width=220,
        )  # fmt: skip
        if chosen != id:
            set_focus(view=chosen)
            st.rerun()
        name = st.text_input("Keep as", key="ci_view_name", placeholder="name of a new view", width=220, max_chars=120)

        def copy() -> None:
            set_focus(view=layouts.copy(graph, layout, name or "View"))

        st.button("Keep", key="ci_view_keep", on_click=copy, icon=":material/bookmark_add:")
    st.caption("Every change is saved in the view that is open; Copy link names it.")


def show_panel(entry: Entry, names: Names, found: dict[str, Result], id: str, layout: dict[str, Any]) -> None:
    """Views, groups with their members, and suggestions that are taken one by one."""
    graph = names.graph
    views(graph, id, layout)
    place = {node.id: node for node in graph.nodes}
    rows = [
        {"group": group["name"], "node": names(place[member]), "id": member, "effect": place[member].effect}
        for group in layout["groups"]
        for member in group["members"]
    ]
    homed = {row["id"] for row in rows}
    rows += [
        {"group": "", "node": names(place[pin]), "id": pin, "effect": place[pin].effect}
        for pin in layout["pins"]
        if pin not in homed
    ]
    if rows:
        st.dataframe(pd.DataFrame(rows), hide_index=True, alt="Pinned and grouped nodes")
    else:
        st.info("Nothing is pinned yet: Ctrl-click nodes, or hold Shift and drag a box, then press p or g.")
    pins = [pin for pin in layout["pins"] if place[pin].kind not in ("embed", "logit", "error")]
    members = pins if len(pins) > 2 else [graph.nodes[i].id for i in graph.top(UNPINNED)]
    what = f"{len(members)} pinned nodes" if pins and members is pins else f"the {len(members)} strongest features"
    similarity = st.slider(
        "Least likeness", 0.1, 0.9, GroupConfig().similarity, 0.05, key="ci_likeness", width=320,
        help="Mean of what is known: what two nodes write, the tokens they fire on, their inputs and outputs.",
    )  # fmt: skip
    key = f"groups-{graph.manifest.content_hash[:12]}-{similarity}-{hash(tuple(members))}"
    suggested = work.run(
        key, "Suggest groups", lambda progress: _suggest(entry, graph, members, names, found, similarity, progress),
        name=f"groups of {entry.name}", about=f"Among {what}.", command=f"workbench circuit group {entry.name}",
        uses_model=False,
    )  # fmt: skip
    if suggested is not None:
        _offer(graph, suggested, id, layout)


def _suggest(
    entry: Entry, graph: CircuitGraph, members: list[str], names: Names, found: dict[str, Result], similarity: float,
    progress: Progress,
) -> Grouping:  # fmt: skip
    progress.phase("comparing nodes")
    wanted, members_of = graph.manifest.details.get("dictionaries", ""), None
    if wanted in [e.name for e in state.workspace().list("dictionaries")]:
        opened, _ = find_dictionaries(state.workspace(), wanted)
        same = opened.manifest is not None and opened.manifest.content_hash == graph.manifest.parents.get(wanted)
        members_of = opened if same else None
    numbers = {node.id: i for i, node in enumerate(graph.nodes)}
    keep = [numbers[id] for id in members] + graph.find("embed") + graph.find("logit")
    part = graph.subgraph(keep)
    labels = {node.id: names(node).partition(": ")[2] or names(node) for node in part.nodes}
    config = GroupConfig(similarity=similarity)
    return suggest_groups(part, members_of, found.get("contexts"), labels, config)


def _offer(graph: CircuitGraph, suggested: Grouping, id: str, layout: dict[str, Any]) -> None:
    taken = {tuple(sorted(group["members"])) for group in layout["groups"]}
    left = [group for group in suggested.groups if tuple(sorted(group.members)) not in taken]
    if not left:
        st.caption("No further group suggests itself at this likeness.")

    def accept(group: Any) -> None:
        layouts.keep(id, graph, layouts.with_group(layout, group.name, group.members, group.rationale))

    for number, group in enumerate(left[:12]):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.button("Accept", key=f"ci_accept_{number}_{hash(group.members)}", on_click=accept, args=(group,))
            st.markdown(f"**{frame.plain(group.name)}** · {len(group.members)} nodes · {frame.plain(group.rationale)}")
    if len(left) > 12:
        st.caption(f"{len(left) - 12} weaker groups are not listed.")
