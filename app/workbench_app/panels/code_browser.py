"""The codebooks of a set as a grid coloured by what is dead, and the codes of one of them as a table."""

import numpy as np
import pandas as pd
import streamlit as st

from workbench.core import Unit
from workbench.features import Bench, FeatureScan
from workbench_app import code_facts, components, exhibit, frame
from workbench_app.focus import set_focus
from workbench_app.wording import share

MOST_ROWS = 2000
"""Rows of a table that go to the browser at once."""


def show_panel(found: Bench, scan: FeatureScan) -> None:
    """Grid on top, table below; a row puts its code into focus."""
    members = list(found.books)
    grid(found, scan, members)
    member, group = place(found, members)
    result = code_facts.use(member, found, scan)
    rows = [row for row in result.tables["codes"] if group is None or row["group"] == group]
    scope = f"{member}, codebook {group}" if group is not None else member
    dead = [row for row in result.tables["groups"] if group is None or row["group"] == group]
    total, lost = sum(row["codes"] for row in dead), sum(row["dead"] for row in dead)
    st.caption(
        frame.plain(
            f"{scope}: {total - lost:,} of {total:,} codes are used on {scan.counted_tokens:,} tokens; "
            f"{lost:,} ({share(lost / max(total, 1))}) are dead."
        )
    )
    table(rows, f"{member}_{group}")
    exhibit.download(result, f"cb_use_{member}", "codes")


@st.fragment
def grid(found: Bench, scan: FeatureScan, members: list[str]) -> None:
    """Site by codebook; a click chooses one."""
    components.begin("codebooks")
    uses = [code_facts.use(member, found, scan).tables["groups"] for member in members]
    most = max(map(len, uses))
    values = np.full((len(members), most), np.nan)
    tips = []
    for row, groups in enumerate(uses):
        for group in groups:
            values[row, group["group"]] = group["dead_share"]
    for groups in uses:
        for column in range(most):
            known = column < len(groups)
            tips.append([("dead", groups[column]["dead"]), ("codes", groups[column]["codes"])] if known else [])
    member, group = place(found, members)

    def picked(cell: list[int] | None) -> None:
        if cell is not None and cell[1] < len(uses[cell[0]]):
            st.session_state["cb_site"], st.session_state["cb_book"] = members[cell[0]], str(cell[1])
            set_focus(unit=None)
            st.session_state["cb_moved"] = True

    components.heat(
        "cb_grid", f"{scan.manifest.content_hash} grid", values, members, [str(n) for n in range(most)],
        "share of dead codes, site by codebook", low=0.0, high=max(0.05, float(np.nanmax(values))), tips=tips,
        selected=None if group is None else (members.index(member), group), on_pick=picked,
    )  # fmt: skip
    if st.session_state.pop("cb_moved", False):
        st.rerun()


def place(found: Bench, members: list[str]) -> tuple[str, int | None]:
    """The member and the codebook (None: all of them) that the widgets, or else the unit in focus, name."""
    left, right = st.session_state.get("cb_site"), st.session_state.get("cb_book")
    member = left if left in members else members[0]
    groups = int(getattr(found.dictionaries[member].config, "groups", 1))
    return member, int(right) if right is not None and right.isdigit() and int(right) < groups else None


def chooser(found: Bench) -> None:
    """The same choice by words, in the address."""
    members = list(found.books)
    left, right, _ = st.columns([2, 2, 4])
    member = left.selectbox("Site", members, key="cb_site", bind="query-params")
    groups = int(getattr(found.dictionaries[member].config, "groups", 1))
    right.selectbox("Codebook", ["all", *map(str, range(groups))], key="cb_book", bind="query-params")


def table(rows: list[dict], name: str) -> None:
    """Codes by how often they are used."""
    if not rows:
        st.info("No code of this codebook is used on the scanned text.", icon=":material/filter_alt:")
        return
    shown = pd.DataFrame(rows[:MOST_ROWS]).assign(
        tokens=lambda frame_: [" ".join(repr(token)[1:-1] for token in tokens) for tokens in frame_["tokens"]]
    )

    def chosen() -> None:
        picked = st.session_state[f"cb_codes_{name}"]["selection"]["rows"]
        if picked:
            set_focus(unit=str(Unit.parse(str(shown["unit"][picked[0]]))))

    st.dataframe(
        shown, hide_index=True, key=f"cb_codes_{name}", on_select=chosen, selection_mode="single-row", height=300,
        column_order=("group", "code", "count", "share", "tokens", "top_share", "entropy"), alt="codes",
        column_config={
            "group": "codebook",
            "share": st.column_config.NumberColumn("share of tokens", format="percent"),
            "tokens": st.column_config.TextColumn("most frequent tokens", width="large"),
            "top_share": st.column_config.NumberColumn("first token's share", format="percent"),
            "entropy": st.column_config.NumberColumn("entropy, bits", format="%.2f"),
        },
    )  # fmt: skip
    if len(rows) > MOST_ROWS:
        st.caption(f"The {MOST_ROWS:,} most used of {len(rows):,}; the CSV has them all.")
