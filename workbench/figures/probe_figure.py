"""Plotly figures of what can be read from activations: probes by layer, geometry, lenses, matched units."""

from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.core import Result, register

from .template import COLOURS, NAME, figure
from .theme import NEUTRAL
from .wording import plain


def band(fig: go.Figure, rows: list[dict[str, Any]], x: list[Any], key: str, name: str, number: int) -> None:
    """A line with its interval as error bars."""
    ends = [(row.get(f"{key}_low"), row.get(f"{key}_high")) for row in rows]
    known = all(low is not None and high is not None for low, high in ends)
    error = {
        "array": [high - row[key] for row, (_, high) in zip(rows, ends, strict=True)] if known else [],
        "arrayminus": [row[key] - low for row, (low, _) in zip(rows, ends, strict=True)] if known else [],
        "thickness": 1,
        "width": 0,
    }
    colour = COLOURS[number % len(COLOURS)]
    fig.add_scatter(
        x=x,
        y=[row[key] for row in rows],
        error_y=error if known else None,
        mode="lines+markers",
        name=plain(name),
        line={"color": colour},
        marker={"color": colour, "size": 6},
    )


@register("figure", "probes")
def probes(result: Result) -> go.Figure:
    """The score at every site with its interval, shuffled labels, the control task, and baselines as level lines."""
    rows = result.tables.get("probes", [])
    fig = figure()
    number = 0
    for kind in dict.fromkeys((row["site"].partition(".")[0], row["method"]) for row in rows):
        mine = [row for row in rows if (row["site"].partition(".")[0], row["method"]) == kind]
        x = [row["site"] if row["layer"] is None else row["layer"] for row in mine]
        band(fig, mine, x, "score", f"{kind[0]}, {kind[1]}", number)
        band(fig, mine, x, "shuffled", f"{kind[0]}, {kind[1]}, shuffled labels", number + 1)
        if all(row.get("control") is not None for row in mine):
            fig.add_scatter(
                x=x, y=[row["control"] for row in mine], mode="lines", line={"dash": "dot"}, name="control task"
            )
        number += 2
    for row in result.tables.get("baselines", []):
        fig.add_hline(y=row["score"], line={"color": NEUTRAL, "dash": "dash", "width": 1})
    for score, names in _close_together(result.tables.get("baselines", [])):
        fig.add_annotation(
            x=1, xref="paper", xanchor="right", y=score, yanchor="bottom", showarrow=False, text=plain(", ".join(names))
        )
    return fig.update_xaxes(title="layer").update_yaxes(title=plain(str(result.params.get("metric", "score"))))


def _close_together(rows: list[dict[str, Any]], apart: float = 0.04) -> list[tuple[float, list[str]]]:
    """Baselines that would be written over each other share a text, at the largest of them, the largest first."""
    found: list[tuple[float, list[str]]] = []
    for row in sorted(rows, key=lambda row: -row["score"]):
        if found and found[-1][0] - row["score"] < apart:
            found[-1][1].append(row["baseline"])
        else:
            found.append((row["score"], [row["baseline"]]))
    return found


@register("figure", "probe steering")
def probe_steering(result: Result) -> go.Figure:
    """What steering by a probe buys (left) and costs (right) against strength; random directions are dotted."""
    rows = result.tables.get("steering", [])
    titles = ("preference for the class", "KL on ordinary text")
    fig = make_subplots(rows=1, cols=2, subplot_titles=titles, horizontal_spacing=0.15)
    fig.update_layout(template=NAME)
    for number, (kind, towards) in enumerate(dict.fromkeys((row["direction"], row["towards"]) for row in rows)):
        mine = sorted(
            (row for row in rows if (row["direction"], row["towards"]) == (kind, towards)), key=lambda r: r["strength"]
        )
        for column, key in ((1, "preference"), (2, "kl")):
            band(fig, mine, [row["strength"] for row in mine], key, towards if kind == "probe" else kind, number)
            dash = {"dash": "solid" if kind == "probe" else "dot"}
            fig.data[-1].update(xaxis=f"x{column}", yaxis=f"y{column}", showlegend=column == 1, line=dash)
    fig.update_xaxes(title="strength (standard deviations)")
    fig.update_yaxes(title="nats a token", col=1)
    return fig.update_yaxes(title="nats a token", rangemode="tozero", col=2)


@register("figure", "geometry")
def geometry(result: Result) -> go.Figure:
    """Anisotropy and linearity (above) and intrinsic dimension (below) by site."""
    rows = result.tables.get("sites", [])
    measured = {key for row in rows for key in row}
    x = [row["site"] if row["layer"] is None else row["layer"] for row in rows]
    fig = figure()
    for number, (key, name, axis) in enumerate(
        (
            ("anisotropy", "anisotropy", "y"),
            ("anisotropy_rest", "anisotropy without massive rows", "y"),
            ("linearity_to_next", "linearity to the next", "y"),
            ("two_nn", "dimension, TwoNN", "y2"),
            ("likelihood_dimension", "dimension, maximum likelihood", "y2"),
        )
    ):
        if key not in measured:
            continue
        errors = [row.get(f"{key}_error") for row in rows]
        known = all(error is not None for error in errors)
        fig.add_scatter(
            x=x,
            y=[row.get(key) for row in rows],
            error_y={"array": errors, "thickness": 1, "width": 0} if known else None,
            mode="lines+markers",
            name=name,
            yaxis=axis,
            line={"color": COLOURS[number], "dash": "solid" if axis == "y" else "dot"},
        )
    fig.update_layout(
        yaxis={"title": "share (below 0 not shown)", "range": [0, 1.03], "domain": [0.56, 1]},
        yaxis2={"title": "dimension", "rangemode": "tozero", "domain": [0, 0.44], "anchor": "x"},
        height=560,
    )
    return fig.update_xaxes(title="layer", anchor="y2")


@register("figure", "lenses")
def lenses(result: Result) -> go.Figure:
    """KL to the model's prediction by layer, logit lens and tuned lens."""
    rows = result.tables.get("lenses", [])
    fig = figure()
    for number, name in enumerate(("logit", "tuned")):
        band(fig, rows, [row["layer"] for row in rows], name, f"{name} lens", number)
    fig.update_xaxes(title="layer")
    return fig.update_yaxes(title="KL to the model's prediction (nats)", rangemode="tozero")


@register("figure", "convergence")
def convergence(result: Result) -> go.Figure:
    """Correlation of matched units, best first: one to one, and of each unit's best partner; the null as a line."""
    rows = result.tables.get("pairs", [])
    fig = figure()
    for key, name in (("correlation", "one to one"), ("best_correlation", "best partner, repeats allowed")):
        fig.add_scatter(y=sorted((row[key] for row in rows), reverse=True), mode="lines", name=name)
    fig.add_hline(y=result.scalars.get("null", 0.0), line={"color": NEUTRAL, "dash": "dash"}, annotation_text="null")
    return fig.update_xaxes(title="units, best matched first").update_yaxes(title="correlation")
