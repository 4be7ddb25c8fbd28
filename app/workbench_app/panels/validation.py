"""Does the model do what the graph predicts? Predicted against measured, beside the controls."""

import pandas as pd
import streamlit as st

from workbench.core import CircuitGraph, Result
from workbench.workspace import Entry
from workbench_app import frame
from workbench_app.wording import show

FIGURES = {
    "groups": ("group_curve", "Groups of features removed: predicted, measured, and the controls"),
    "single": ("single_ablations", "Features removed one at a time: predicted against measured"),
}


def show_panel(entry: Entry, graph: CircuitGraph, found: dict[str, Result]) -> None:
    """The group curve first (it tells good features from bad), then the single ablations, then every number."""
    result = found.get("validation")
    if result is None:
        st.info("This graph makes a claim that nobody has tested yet.", icon=":material/science:")
        st.code(f"workbench circuit validate {entry.name}", language="bash")
        return
    if result.partial:
        st.warning("The validation was interrupted; this is what was done.", icon=":material/timelapse:")
    scalars(result)
    for name, (kind, heading) in FIGURES.items():
        if result.tables.get(name):
            st.markdown(f"**{heading}**")
            with frame.guard():
                st.plotly_chart(result.fig(kind), key=f"ci_fig_{name}", config={"displaylogo": False}, alt=heading)
    for name, rows in result.tables.items():
        with st.expander(f"Table: {name} ({len(rows)} rows)"):
            st.dataframe(pd.DataFrame(rows), hide_index=True, alt=f"Validation table {name}")
    for note in result.notes:
        st.caption(frame.plain(note))


def scalars(result: Result) -> None:
    """The result's own numbers, four to a row."""
    items = list(result.scalars.items())
    for start in range(0, min(len(items), 8), 4):
        for column, (name, value) in zip(st.columns(4), items[start : start + 4], strict=False):
            column.metric(name.replace("_", " "), show(value))
