"""Which codes of two codebooks go together on a token."""

import numpy as np
import streamlit as st

from workbench.core import Unit
from workbench.features import Bench, FeatureScan
from workbench_app import code_facts, components, exhibit
from workbench_app.focus import set_focus


def show_panel(found: Bench, scan: FeatureScan) -> None:
    """Two sites, how many codes of each, the least count; then the map."""
    members = list(found.books)
    left, middle, right, last = st.columns([2, 2, 2, 2])
    first = left.selectbox("Rows", members, key="cb_rows", bind="query-params")
    second = middle.selectbox("Columns", members, index=len(members) - 1, key="cb_columns", bind="query-params")
    size = right.slider("Most used codes of each", 5, 60, 20, key="cb_size", bind="query-params")
    least = last.slider("Least count of a pair", 0, 100, 5, key="cb_least", bind="query-params")
    lifts(first, second, size, least, found, scan)


@st.fragment
def lifts(first: str, second: str, size: int, least: int, found: Bench, scan: FeatureScan) -> None:
    """The map of lifts; a cell opens the code of its row."""
    components.begin("code pairs")
    result = code_facts.lift(first, second, size, found, scan)
    pairs = result.tables["pairs"]
    rows, columns = (list(dict.fromkeys(pair[key] for pair in pairs)) for key in ("first", "second"))
    values = np.array([pair["lift"] if pair["count"] >= least else np.nan for pair in pairs])
    logs = np.log2(np.clip(values, 2.0**-6, 2.0**6)).reshape(len(rows), len(columns))
    most = min(6.0, max(1.0, float(np.nanmax(np.abs(logs), initial=0.0))))
    tips = [[("count", pair["count"]), ("lift", round(pair["lift"], 3))] for pair in pairs]

    def picked(cell: list[int] | None) -> None:
        if cell is not None:
            set_focus(unit=rows[cell[0]])
            st.session_state["cb_moved"] = True

    components.heat(
        "cb_pairs", f"{result.id} {least}", logs, [_short(unit) for unit in rows], [_short(unit) for unit in columns],
        "log2 of lift: how much more often than if independent", low=-most, high=most, tips=tips, on_pick=picked,
    )  # fmt: skip
    hidden = int(np.isnan(values).sum())
    st.caption(f"{hidden:,} of {len(pairs):,} pairs are hidden: fewer than {least} tokens have both.")
    exhibit.download(result, "cb_lift", "pairs")
    if st.session_state.pop("cb_moved", False):
        st.rerun()


def _short(unit: str) -> str:
    return str(Unit.parse(unit).index)
