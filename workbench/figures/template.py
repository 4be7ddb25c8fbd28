"""The plotly template `workbench`: registered when this is imported, never made the global default."""

import plotly.graph_objects as go
import plotly.io

from .theme import FONT, LIGHT, NEGATIVE, NEUTRAL, POSITIVE

NAME = "workbench"
DIVERGING = [[0.0, NEGATIVE], [0.25, "#e8b48d"], [0.5, "#f4f5f6"], [0.75, "#93bde0"], [1.0, POSITIVE]]
SEQUENTIAL = [[0.0, "#f4f7fa"], [0.35, "#a9cbe6"], [0.7, "#3f86c0"], [1.0, "#0b3d6b"]]
# Okabe and Ito's set, begun with the workbench's blue and orange.
COLOURS = [POSITIVE, NEGATIVE, "#009e73", "#cc79a7", "#b58900", "#56b4e9", NEUTRAL]
CONFIG = {"displaylogo": False, "modeBarButtonsToRemove": ["sendChartToCloud"], "plotlyServerURL": ""}


def _template() -> go.layout.Template:
    axis = {"gridcolor": "rgba(128,140,155,.25)", "zerolinecolor": "rgba(128,140,155,.6)", "automargin": True}
    layout = {
        "font": {"family": FONT, "size": 13, "color": LIGHT.ink},
        "colorway": COLOURS,
        "colorscale": {"diverging": DIVERGING, "sequential": SEQUENTIAL, "sequentialminus": SEQUENTIAL[::-1]},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "xaxis": axis,
        "yaxis": axis,
        "title": {"x": 0, "xanchor": "left", "font": {"size": 15}},
        "margin": {"l": 60, "r": 20, "t": 50, "b": 50},
        "hoverlabel": {"align": "left", "font": {"family": FONT}},
        "legend": {"orientation": "h", "y": -0.2},
    }
    errors = {"color": NEUTRAL, "thickness": 1.5}
    return go.layout.Template(layout=layout, data={"bar": [go.Bar(error_x=errors, error_y=errors)]})


def use() -> None:
    """Make `workbench` the default template of this process."""
    plotly.io.templates.default = NAME


def figure(**layout) -> go.Figure:
    """An empty Figure in the workbench's template; without a title, without the room for one."""
    if "margin" not in layout and not any(key.startswith("title") for key in layout):
        layout["margin_t"] = 24
    return go.Figure(layout={"template": NAME, **layout})


plotly.io.templates[NAME] = _template()
