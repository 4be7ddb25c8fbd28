"""Units that are active at the selected position, and what the dictionaries leave out there."""

import pandas as pd
import streamlit as st

from workbench_app import benches, exhibit, frame, state
from workbench_app.panels import unit_browser

SORTS = {
    "above what is usual": "relative",
    "effect on the likeliest token": "logit",
    "activation": "activation",
    "rarest first": "density",
}
DENSE = 0.1


def show_panel(model: str, ids: tuple[int, ...], at: int) -> None:
    """A table, a row of which opens the unit's page; what is hidden is counted."""
    name = benches.chosen_set()
    if name is None:
        frame.missing(
            "There is no dictionary for this model in this workspace.",
            "Its features would be listed here.",
            "workbench train --help",
            looked_in=state.workspace().folder("dictionaries"),
        )
        return
    found = benches.bench(model, name)
    scan = benches.scan(found)
    result = benches.active(f"{name} {scan.manifest.content_hash if scan else model}", ids, at, found, scan)
    rows = result.tables["units"]
    if not rows:
        st.info("No unit is active here.", icon=":material/grain:")
        return
    left, right = st.columns([2, 3], vertical_alignment="bottom")
    sort = SORTS[left.selectbox("Sorted by", list(SORTS), key="pr_units_sort")]
    hide = right.toggle(f"Hide units that fire on more than {DENSE:.0%} of tokens", key="pr_hide_dense")
    shown = [row for row in rows if not (hide and (row["density"] or 0.0) > DENSE)]
    if len(shown) < len(rows):
        st.caption(f"{len(shown)} of {len(rows)} shown; {len(rows) - len(shown)} dense ones hidden.")
    shown.sort(key=lambda row: rank(row[sort] if row[sort] is not None else row["activation"], sort))
    units = [str(row["unit"]) for row in shown]
    unit_browser.picker(pd.DataFrame(shown), units, "pr_units", drawer=True)
    st.caption("A row opens its unit beside the page.")
    with st.expander("What the dictionaries leave out here"):
        exhibit.table(result, "pr_errors", "errors", alt="Reconstruction errors")
    exhibit.notes(result)


def rank(value: float, sort: str) -> float:
    """Rarest first; everything else by size, nan last."""
    if value != value:
        return float("inf")
    return value if sort == "density" else -abs(value)
