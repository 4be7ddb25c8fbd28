"""Plotly figures of training runs: curves laid over each other, and L0 against what is recovered."""

import plotly.graph_objects as go

from workbench.core import Result, register

from .template import figure
from .theme import NEUTRAL
from .wording import plain

DASHES = ("solid", "dash", "dot", "dashdot", "longdash")


@register("figure", "training_curves")
def training_curves(result: Result) -> go.Figure:
    """One line a run; rings where it was checkpointed, gaps where the number was none."""
    fig = figure(title=plain(f"{result.params['y']}"))
    runs: dict[str, list[dict]] = {}
    for row in result.tables.get("curves", []):
        runs.setdefault(row["run"], []).append(row)
    for number, (name, rows) in enumerate(runs.items()):
        dash = DASHES[number % len(DASHES)]
        x, y = [row["x"] for row in rows], [row["y"] for row in rows]
        mode = "lines+markers" if len(rows) < 3 else "lines"
        fig.add_scatter(x=x, y=y, mode=mode, name=plain(name), line={"dash": dash})
        marks = {row["x"] for row in result.tables.get("checkpoints", []) if row["run"] == name}
        kept = [row for row in rows if row["x"] in marks]
        if kept:
            fig.add_scatter(
                x=[row["x"] for row in kept],
                y=[row["y"] for row in kept],
                mode="markers",
                marker={"symbol": "circle-open", "size": 10, "color": NEUTRAL},
                name=plain(f"{name}: checkpoint"),
            )
    return fig.update_xaxes(title=plain(str(result.params["x"]))).update_yaxes(title=plain(str(result.params["y"])))


@register("figure", "training_frontier")
def training_frontier(result: Result) -> go.Figure:
    """Every dictionary; those that none beats in both are joined."""
    rows = result.tables.get("dictionaries", [])
    measures = list(dict.fromkeys(row["measure"] for row in rows))
    fig = figure(title="L0 against what is recovered")
    for measure in measures:
        for name in dict.fromkeys(row["run"] for row in rows):
            kept = [row for row in rows if row["run"] == name and row["measure"] == measure]
            if kept:
                fig.add_scatter(
                    x=[row["l0"] for row in kept],
                    y=[row["recovered"] for row in kept],
                    mode="markers",
                    name=plain(f"{name} ({measure})"),
                    customdata=[[row["run"], row["dictionary"]] for row in kept],
                    hovertext=[plain(f"{row['run']}, {row['dictionary']}") for row in kept],
                )
        best = sorted((r for r in rows if r["best"] and r["measure"] == measure), key=lambda r: r["l0"])
        if len(best) > 1:
            fig.add_scatter(
                x=[row["l0"] for row in best],
                y=[row["recovered"] for row in best],
                mode="lines",
                name=f"frontier ({measure})",
                line={"color": NEUTRAL, "dash": "dot", "width": 1},
                hoverinfo="skip",
            )
    return fig.update_xaxes(title="L0").update_yaxes(title="recovered")
