"""A plotly figure as a static picture: lines, points, bars and heat maps, drawn anew without a browser."""

import re
from typing import Any

import numpy as np
import plotly.graph_objects as go
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .picture import INKS, picture
from .wording import clip, legible

CYCLE = (INKS.positive, INKS.negative, INKS.neutral, INKS.ink, INKS.muted)
LINES = {"dash": "--", "dot": ":", "dashdot": "-.", "longdash": "--", "solid": "-"}
MOST = 4000  # points of one trace


def plot_svg(fig: go.Figure, name: str, alt: str, size: tuple[float, float] = (8.0, 3.9)) -> str:
    """An inline SVG of the traces of a figure; traces that have no likeness here are left out.

    Args:
        name: prefix of every element id. alt: what a reader who cannot see it is told.
    """
    grids = sorted({_axes_of(trace) for trace in fig.data})

    def draw(canvas: Figure) -> None:
        places = dict(zip(grids, np.atleast_1d(canvas.subplots(1, max(len(grids), 1))), strict=False))
        for number, trace in enumerate(fig.data):
            _trace(places[_axes_of(trace)], trace, number)
        for suffix, axes in places.items():
            _finish(fig, axes, suffix)

    return picture(name, legible(alt, 300), size, draw)


def _axes_of(trace: Any) -> str:
    return (getattr(trace, "xaxis", None) or "x")[1:]


def _trace(axes: Axes, trace: Any, number: int) -> None:
    colour, label = (
        CYCLE[number % len(CYCLE)],
        _text(trace.name) if trace.name and trace.showlegend is not False else None,
    )
    if trace.type in ("scatter", "scattergl"):
        x, y = _values(trace.x), _values(trace.y)
        x = x if len(x) else list(range(len(y)))
        mode = trace.mode or "lines"
        line = LINES.get((trace.line.dash or "solid") if trace.line else "solid", "-") if "lines" in mode else "none"
        mark = "o" if "markers" in mode else "none"
        axes.plot(x, y, linestyle=line, marker=mark, color=colour, label=label, markersize=4, linewidth=1.6)
    elif trace.type == "bar":
        x, y = _values(trace.x), _values(trace.y)
        if trace.orientation == "h":
            axes.barh([clip(str(v), 44) for v in y], x, color=colour, label=label)
        else:
            axes.bar(x, y, color=colour, label=label)
    elif trace.type == "heatmap" and trace.z is not None:
        cells = np.array(trace.z, dtype=float)
        down, right = (-(-side // 60) for side in cells.shape)
        axes.pcolormesh(cells[::down, ::right], cmap="Blues", linewidth=0)
        axes.grid(visible=False)


def _values(column: Any) -> list[Any]:
    if column is None:
        return []
    found = list(column)[:MOST]
    numbers = all(v is None or isinstance(v, int | float | np.number) for v in found)
    return [float("nan") if v is None else float(v) for v in found] if numbers else [_text(str(v)) for v in found]


def _finish(fig: go.Figure, axes: Axes, suffix: str) -> None:
    for side, setter, scale in (("x", axes.set_xlabel, axes.set_xscale), ("y", axes.set_ylabel, axes.set_yscale)):
        told = fig.layout[f"{side}axis{suffix}"]
        if told.title and told.title.text:
            setter(clip(_text(told.title.text), 70))
        if told.type == "log":
            scale("log")
    handles, labels = axes.get_legend_handles_labels()
    if 1 < len(labels) <= 10:
        axes.legend(handles, labels)


def _text(text: str) -> str:
    """Words without plotly's marks."""
    bare = re.sub(r"<[^>]*>", " ", text).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    return legible(bare, 200)
