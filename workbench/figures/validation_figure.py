"""Plotly figures of a validation: group curve and single ablations; of the sum rule; of an evaluation."""

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.core import Result, register

from .measurements import SET_NAMES, baseline, group_points, layer_rows, singles
from .template import NAME
from .theme import NEGATIVE, NEUTRAL, POSITIVE
from .wording import plain

PANELS = {"frozen": "attention frozen", "free": "everything free"}
COLOURS = {"trained": POSITIVE, "untrained": NEGATIVE, "random": NEUTRAL}


def _panels(titles: list[str], **options) -> go.Figure:
    fig = make_subplots(rows=1, cols=len(titles), subplot_titles=titles, **options)
    return fig.update_layout(template=NAME)


@register("figure", "validation")
@register("figure", "group_curve")
def group_curve(result: Result) -> go.Figure:
    """The metric after removing n features: measured (solid) and predicted (dotted), with the controls."""
    points, start = group_points(result), baseline(result)
    fig = _panels(list(PANELS.values()), shared_yaxes=True)
    sizes = sorted({p.n for p in points})
    place = {n: number for number, n in enumerate(sizes, 1)}
    for column, measure in enumerate(PANELS, 1):
        for name in dict.fromkeys(p.set for p in points):
            rows = [p for p in points if p.set == name]
            x, text = [0, *(place[p.n] for p in rows)], plain(SET_NAMES.get(name, name))
            shared = {"legendgroup": name, "line": {"color": COLOURS.get(name, NEUTRAL)}}
            error = {"array": [0, *(p.sd[measure] for p in rows)], "visible": any(p.sd[measure] for p in rows)}
            measured = [start, *(getattr(p, measure) for p in rows)]
            fig.add_scatter(
                x=x, y=measured, name=text, error_y=error, showlegend=column == 1, row=1, col=column, **shared
            )
            shared["line"] = {**shared["line"], "dash": "dot"}
            fig.add_scatter(
                x=x,
                y=[start, *(p.predicted for p in rows)],
                name=f"{text}, predicted",
                mode="lines",
                showlegend=column == 1,
                row=1,
                col=column,
                **shared,
            )
    fig.update_xaxes(tickvals=[0, *place.values()], ticktext=["none", *map(str, sizes)], title="features removed")
    fig.update_yaxes(title=plain(result.params.get("metric", "metric")), col=1)
    return fig


@register("figure", "single_ablations")
def single_ablations(result: Result) -> go.Figure:
    """Predicted against measured change of the metric for single features."""
    rows = singles(result)
    fig = _panels(list(PANELS.values()))
    for column, measure in enumerate(PANELS, 1):
        kept = [row for row in rows if row.get(measure) is not None]
        fig.add_scatter(
            x=[row["predicted"] for row in kept],
            y=[row[measure] for row in kept],
            mode="markers",
            marker={"color": [POSITIVE if r["predicted"] * r[measure] > 0 else NEGATIVE for r in kept]},
            customdata=[row["node"] for row in kept],
            hovertext=[plain(row["node"]) for row in kept],
            showlegend=False,
            row=1,
            col=column,
        )
        reach = max((abs(row[m]) for row in kept for m in ("predicted", measure)), default=1.0)
        line = {"color": NEUTRAL, "dash": "dash", "width": 1}
        fig.add_scatter(
            x=[-reach, reach], y=[-reach, reach], mode="lines", line=line, showlegend=False, row=1, col=column
        )
    fig.update_xaxes(title="predicted change")
    fig.update_yaxes(title="measured change", col=1)
    return fig


@register("figure", "sum_check")
def sum_check(result: Result) -> go.Figure:
    """The deviation from the sum rule, node by node, on a logarithmic axis."""
    rows = result.tables.get("nodes", [])
    fig = go.Figure(layout={"template": NAME})
    fig.add_scatter(
        x=[int(row["node"].split(":")[1]) for row in rows],
        y=[max(row["ratio"], 1e-12) for row in rows],
        mode="markers",
        hovertext=[plain(row["node"]) for row in rows],
    )
    fig.update_yaxes(type="log", exponentformat="power", title="deviation from the sum rule (ratio)")
    return fig.update_xaxes(title="layer")


@register("figure", "evaluation")
def evaluation(result: Result) -> go.Figure:
    """FVU by layer beside the affine map's."""
    rows = layer_rows(result)
    fig = go.Figure(layout={"template": NAME})
    lines = {
        "fvu": ("dictionary", POSITIVE),
        "fvu_affine": ("affine map", NEGATIVE),
        "fvu_untrained": ("untrained", NEUTRAL),
    }
    for key, (name, colour) in lines.items():
        if any(row.get(key) is not None for row in rows):
            x, y = [row["layer"] for row in rows], [row.get(key) for row in rows]
            fig.add_scatter(x=x, y=y, name=name, mode="lines+markers", line={"color": colour})
    return fig.update_xaxes(title="layer").update_yaxes(title="FVU, held-out text", rangemode="tozero")
