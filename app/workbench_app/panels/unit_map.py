"""The units of a member as a map: what writes alike lies together; a point opens its unit, a box lists several."""

from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from workbench.core import Result
from workbench.features import Bench, FeatureScan, unit_map
from workbench.figures import CONFIG, clip, plain
from workbench.recipes import labels_of
from workbench_app import benches, exhibit, state, work
from workbench_app.focus import focus, set_focus

METHODS = {"largest variance (PCA)": "pca", "neighbours (t-SNE)": "t-sne"}
LISTED = 200


def show_panel(name: str, found: Bench, scan: FeatureScan | None) -> None:
    """Where and how on top, the map, and what was chosen in it."""
    left, right, _ = st.columns([2, 2, 4], vertical_alignment="bottom")
    member = left.selectbox("Where", list(found.dictionaries), key="ft_map_member", bind="query-params")
    method = METHODS[right.selectbox("Laid out by", list(METHODS), key="ft_map_method", bind="query-params")]
    source = scan.manifest.content_hash if scan else found.model.ref.weight_hash
    if method == "pca":
        result = benches.unit_map(f"{state.workspace().path} {source} {name}", member, found, scan)
    else:
        result = work.run(
            f"map {source} {name} {member}", "Lay out",
            lambda progress: unit_map(found, member, scan, "t-sne", progress=progress),
            name=f"map of {member}", about="About ten seconds for 2,000 units.", uses_model=False,
        )  # fmt: skip
    if result is not None:
        draw(result, name, f"ft_map_{member}_{method}")


@st.fragment
def draw(result: Result, name: str, key: str) -> None:
    """The map; the unit in focus is ringed, and labelled units are named."""
    rows = result.tables["map"]
    fig = benches.map_figure(result)
    labels = {str(unit): texts[0][0] for unit, texts in labels_of(state.workspace(), name).items() if texts}
    fig = marked(fig, rows, labels)
    sent: Any = st.plotly_chart(
        fig, key=key, config={**CONFIG, "scrollZoom": True}, on_select="rerun",
        selection_mode=("points", "box", "lasso"), alt="Map of the units",
    )  # fmt: skip
    chosen = [place(point) for point in sent["selection"]["points"]]
    picked = [rows[at] for at in chosen if at is not None and at < len(rows)]
    if len(picked) == 1 and focus().unit != picked[0]["unit"]:
        set_focus(unit=picked[0]["unit"])
        st.rerun()
    if len(picked) > 1:
        st.session_state["ft_order"] = [row["unit"] for row in picked]
        listed = [{**row, "label": labels.get(row["unit"], "")} for row in picked[:LISTED]]
        st.caption(f"{len(picked):,} units in the selection" + (f", {LISTED} listed." if len(picked) > LISTED else "."))
        table(listed, f"{key}_rows")
    st.caption("Click a point to open its unit; box and lasso, in the chart's toolbar, list several.")
    exhibit.notes(result)
    exhibit.download(result, key, "map")


def place(point: dict[str, Any]) -> int | None:
    """The row that a selected point stands for; Streamlit hands customdata out in several shapes."""
    found = point.get("customdata")
    found = next(iter(found.values()), None) if isinstance(found, dict) else found
    found = found[0] if isinstance(found, list | tuple) and found else found
    return int(found) if isinstance(found, int | float) else None


def marked(fig: Any, rows: list[dict[str, Any]], labels: dict[str, str]) -> Any:
    """The map with a ring around the unit in focus and the names of some labelled units."""
    drawn = go.Figure(fig)
    named = [row for row in rows if row["unit"] in labels][:40]
    if named:
        drawn.add_scatter(
            x=[row["x"] for row in named], y=[row["y"] for row in named], mode="text", hoverinfo="skip",
            text=[plain(clip(labels[row["unit"]], 24)) for row in named], textposition="top center", showlegend=False,
            textfont={"size": 11},
        )  # fmt: skip
    own = [row for row in rows if row["unit"] == focus().unit]
    if own:
        drawn.add_scatter(
            x=[own[0]["x"]], y=[own[0]["y"]], mode="markers", hoverinfo="skip", showlegend=False,
            marker={"symbol": "circle-open", "size": 18, "color": "#d9730d", "line": {"width": 3}},
        )  # fmt: skip
    return drawn


def table(rows: list[dict[str, Any]], key: str) -> None:
    """What a box or a lasso holds; a row opens its unit."""

    def opened() -> None:
        picked = st.session_state[key]["selection"]["rows"]
        if picked:
            set_focus(unit=rows[picked[0]]["unit"])
            st.session_state["ft_map_opened"] = True

    st.dataframe(
        pd.DataFrame(rows), hide_index=True, key=key, on_select=opened, selection_mode="single-row", height=240,
        column_order=["number", "label", "density", "largest"], alt="Units of the selection",
        column_config={"density": st.column_config.NumberColumn(format="percent", help="share of the scanned tokens")},
    )  # fmt: skip
    if st.session_state.pop("ft_map_opened", False):
        st.rerun()
