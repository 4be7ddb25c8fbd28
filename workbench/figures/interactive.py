"""Plotly figures as parts of one page that loads nothing: the library once, every figure a small script."""

from dataclasses import asdict
from functools import cache

import plotly.graph_objects as go
import plotly.io
from plotly.offline import get_plotlyjs

from .template import CONFIG
from .theme import DARK, LIGHT


@cache
def plotly_script() -> str:
    """The whole of plotly.js, for one inline script element (4.8 MB)."""
    script = get_plotlyjs()
    assert "</script" not in script.lower()
    return script


def plot_html(figure: go.Figure, name: str, height: int = 420) -> str:
    """A figure as an element with its inline script, for a page that holds `plotly_script` above it.

    No logo, no upload button, no address outside the page. `name` is the element's id.
    """
    settings = {**CONFIG, "responsive": True}
    figure = go.Figure(figure).update_layout(height=height, autosize=True)
    return plotly.io.to_html(
        figure, config=settings, include_plotlyjs=False, full_html=False, div_id=name, default_width="100%",
        default_height=f"{height}px",
    )  # fmt: skip


def theme_colours() -> dict[str, dict[str, str]]:
    """The palettes by name, for scripts that follow the reader's light or dark setting."""
    return {"light": asdict(LIGHT), "dark": asdict(DARK)}
