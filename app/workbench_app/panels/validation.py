"""Does the model do what the graph predicts? Predicted against measured, beside the controls."""

import pandas as pd
import streamlit as st

from workbench.core import CircuitGraph, Result
from workbench.workspace import Entry
from workbench_app import exhibit, frame
from workbench_app.drawing import SCORES
from workbench_app.wording import show

HEADLINES = {
    "metric_value": "nothing removed",
    "r_frozen_trained": "r, attention frozen",
    "r_free_trained": "r, everything free",
    "exact_direct_worst_ratio": "worst deviation, direct",
    "exact_total_worst_ratio": "worst deviation, total",
}
HELP = {
    "metric_value": "What the graph explains, in the model as it is.",
    "r_frozen_trained": "Correlation of predicted and measured changes, features removed one at a time.",
    "r_free_trained": "The same with attention and norms free to react.",
    "exact_direct_worst_ratio": "With attention and norms held, direct effects are exact: this is rounding.",
    "exact_total_worst_ratio": "The same for total effects.",
}
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
                st.plotly_chart(
                    exhibit.coloured(result.fig(kind)), key=f"ci_fig_{name}", config=exhibit.CONFIG, alt=heading
                )
    for name, rows in result.tables.items():
        with st.expander(f"Table: {name} ({len(rows)} rows)"):
            st.dataframe(pd.DataFrame(rows), hide_index=True, alt=f"Validation table {name}")
    controls(found.get("control_scores"), graph)
    if sums := found.get("sum_check"):
        with st.expander("Do the incoming edges add up to each pre-activation?"), frame.guard():
            st.plotly_chart(
                exhibit.coloured(sums.fig("sum_check")),
                key="ci_fig_sums",
                config=exhibit.CONFIG,
                alt="Sum rule",
            )
    if result.notes:
        with st.expander("How it was measured"):
            for note in result.notes:
                st.write(frame.plain(note))


def controls(result: Result | None, graph: CircuitGraph) -> None:
    """The graph's scores beside those of the controls, which may well be as high: the scores do not tell."""
    if result is None or not graph.scores:
        return
    found = [{"control": "this graph", **graph.scores}, *next(iter(result.tables.values()), [])]
    rows = [{name: row.get(name) for name in ("control", *SCORES)} for row in found]
    st.markdown("**Scores beside the controls**")
    st.dataframe(pd.DataFrame(rows), hide_index=True, alt="Scores of the graph and of its controls")


def scalars(result: Result) -> None:
    """The numbers that sum a validation up; every other one is in the tables."""
    shown = [name for name in HEADLINES if name in result.scalars]
    for column, name in zip(st.columns(len(shown)) if shown else (), shown, strict=True):
        column.metric(HEADLINES[name], show(result.scalars[name]), help=HELP[name])
