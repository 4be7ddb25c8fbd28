"""Plotly figures of circuit discovery: scores against exact effects, faithfulness beside random circuits, areas."""

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.core import Result, register

from .template import COLOURS, NAME, figure
from .theme import NEGATIVE, NEUTRAL, POSITIVE
from .wording import plain

Rows = Sequence[Mapping[str, Any]]
DASHES = {"signed": "solid", "absolute": "dot"}
MEASURES = {"rho_absolute": "rank correlation of sizes", "auroc": "AUROC of the top heads"}
AREAS = {"cpr": "CPR: area under faithfulness", "cmd": "CMD: distance from 1"}


def error_bars(rows: Rows, key: str, ends: tuple[str, str] | None = None) -> dict[str, Any]:
    """Error bars to `<key>_low` and `<key>_high` (or to the columns `ends`), where every row knows them."""
    low, high = ends or (f"{key}_low", f"{key}_high")
    bounds = [row.get(name) for row in rows for name in (low, high)]
    if any(bound is None or bound != bound for bound in bounds):
        return {"visible": False}
    return {
        "array": [row[high] - row[key] for row in rows],
        "arrayminus": [row[key] - row[low] for row in rows],
        "color": NEUTRAL,
    }


@register("figure", "discovery")
def discovery(result: Result) -> go.Figure:
    """How well each scorer agrees with exact ablation of heads; the circuits' areas where nothing was ablated."""
    rows = [row for row in result.tables.get("scorers", []) if row.get("auroc") is not None]
    return _bars(rows, MEASURES) if rows else circuit_areas(result)


@register("figure", "circuit_areas")
def circuit_areas(result: Result) -> go.Figure:
    """CPR and CMD of every scorer's circuits beside random circuits, with intervals."""
    rows = result.tables.get("areas") or result.tables.get("scorers", [])
    return _bars([row for row in rows if row.get("cpr") is not None], AREAS)


def _bars(rows: Rows, panels: Mapping[str, str]) -> go.Figure:
    """One panel of horizontal bars for each measure, a bar for each scorer."""
    fig = make_subplots(rows=1, cols=len(panels), subplot_titles=list(panels.values()), shared_yaxes=True)
    names = [plain(row["scorer"]) for row in rows]
    colours = [NEUTRAL if row["scorer"].startswith("random") else POSITIVE for row in rows]
    for column, key in enumerate(panels, 1):
        values, error = [row[key] for row in rows], error_bars(rows, key)
        marker = {"color": colours}
        fig.add_bar(
            x=values, y=names, error_x=error, orientation="h", marker=marker, showlegend=False, row=1, col=column
        )
    fig.update_layout(template=NAME, height=max(260, 34 * len(rows) + 130))
    return fig.update_yaxes(autorange="reversed", col=1)


@register("figure", "discovery_heads")
def discovery_heads(result: Result) -> go.Figure:
    """Every scorer's score of each head against its exact effect, on the line where they would be equal."""
    rows = result.tables.get("heads", [])
    scorers = [name for name in result.params.get("scorers", []) if any(name in row for row in rows)]
    scorers = [name for name in scorers if name != "random"]
    fig = figure(title="score against the exact effect of each head")
    reach = max((abs(row["score"]) for row in rows), default=1.0)
    line = {"color": NEUTRAL, "dash": "dash", "width": 1}
    fig.add_scatter(x=[-reach, reach], y=[-reach, reach], mode="lines", line=line, hoverinfo="skip", showlegend=False)
    for number, name in enumerate(scorers):
        kept = [row for row in rows if row.get(name) is not None]
        fig.add_scatter(
            x=[row["score"] for row in kept],
            y=[row[name] for row in kept],
            mode="markers",
            name=plain(name),
            marker={"color": COLOURS[number % len(COLOURS)], "size": 6},
            hovertext=[plain(row["node"]) for row in kept],
            visible=True if name != "mean-difference" else "legendonly",
        )
    return fig.update_xaxes(title="exact effect (metric lost)").update_yaxes(title="score")


@register("figure", "faithfulness")
@register("figure", "faithfulness_curve")
def faithfulness_curve(result: Result) -> go.Figure:
    """Faithfulness of every scorer's circuits by their size, beside the band of random circuits."""
    fig = figure(title="circuits kept, the rest ablated")
    drawn = result.tables.get("random", [])
    if drawn:
        _band(fig, drawn, "random circuits", NEUTRAL, "dot")
    rows = result.tables.get("curve", [])
    for number, name in enumerate(dict.fromkeys(row["scorer"] for row in rows)):
        for selection, dash in DASHES.items():
            mine = [row for row in rows if (row["scorer"], row["selection"]) == (name, selection)]
            if mine:
                said = f"{name}, by {'score' if selection == 'signed' else '|score|'}"
                _band(fig, mine, said, COLOURS[number % len(COLOURS)], dash, band=selection == "signed")
    for height in (0, 1):
        fig.add_hline(y=height, line={"color": NEUTRAL, "dash": "dash", "width": 1})
    ticks = sorted({row["fraction"] for row in (*rows, *drawn) if row["fraction"] > 0})
    fig.update_xaxes(
        type="log", title="share of edges kept", tickvals=ticks, ticktext=[f"{100 * tick:g} %" for tick in ticks]
    )
    return fig.update_yaxes(title="faithfulness (1: as the whole model)")


def _band(fig: go.Figure, rows: Rows, name: str, colour: str, dash: str, band: bool = True) -> None:
    """A line with its interval shaded, where every row has one."""
    rows = [row for row in rows if row["fraction"] > 0]
    x, text = [row["fraction"] for row in rows], plain(name)
    bounds = [row.get(key) for row in rows for key in ("low", "high")]
    if band and all(bound is not None and bound == bound for bound in bounds):
        outline = [*(row["high"] for row in rows), *(row["low"] for row in reversed(rows))]
        shade = {"mode": "lines", "line": {"width": 0}, "fill": "toself", "opacity": 0.18, "fillcolor": colour}
        fig.add_scatter(x=[*x, *x[::-1]], y=outline, legendgroup=text, showlegend=False, hoverinfo="skip", **shade)
    line, y = {"color": colour, "dash": dash}, [row["faithfulness"] for row in rows]
    fig.add_scatter(x=x, y=y, name=text, legendgroup=text, mode="lines+markers", line=line)


@register("figure", "component_scores")
def component_scores(result: Result) -> go.Figure:
    """The largest scores of nodes, or of edges where only those were scored, with their intervals."""
    level = "node" if result.tables.get("nodes") else "edge"
    rows = sorted(result.tables.get(f"{level}s", []), key=lambda row: -abs(row["score"]))[:30]
    fig = figure(title=plain(result.params.get("scorer", "")), height=max(260, 22 * len(rows) + 120))
    fig.add_bar(
        orientation="h",
        x=[row["score"] for row in rows],
        y=[plain(row[level]) for row in rows],
        error_x=error_bars(rows, "score", ("low", "high")),
        marker={"color": [POSITIVE if row["score"] >= 0 else NEGATIVE for row in rows]},
    )
    return fig.update_yaxes(autorange="reversed").update_xaxes(title="score (metric lost when ablated)")


@register("figure", "circuit_check")
def circuit_check(result: Result) -> go.Figure:
    """Minimality: what the metric loses when one node leaves the circuit."""
    rows = result.tables.get("minimality", [])
    fig = figure(title="one node taken out of the circuit", height=max(260, 22 * len(rows) + 120))
    names, changes = [plain(row["node"]) for row in rows], [row["change"] for row in rows]
    fig.add_bar(orientation="h", x=changes, y=names, marker={"color": POSITIVE})
    return fig.update_yaxes(autorange="reversed").update_xaxes(title="change of the metric (share of its range)")
