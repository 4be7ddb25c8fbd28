"""Other colours for a figure that is already drawn: what reads blue and orange becomes green and purple."""

import json
import re

import plotly.graph_objects as go

from .theme import NEGATIVE, POSITIVE

PALETTES: dict[str, dict[str, str]] = {
    "blue and orange": {},
    "green and purple": {
        POSITIVE: "#1b7837",
        NEGATIVE: "#762a83",
        "#93bde0": "#a6dba0",
        "#e8b48d": "#c2a5cf",
        "#f4f7fa": "#f4faf5",
        "#a9cbe6": "#a6dba0",
        "#3f86c0": "#4da35c",
        "#0b3d6b": "#00441b",
        "#6fb0de": "#7fbf7b",
        "#009e73": "#0072b2",
        "#cc79a7": "#d55e00",
    },
}
"""Name -> colour of the workbench's figures -> what stands for it (ColorBrewer's PRGn and Okabe and Ito's set)."""


def recoloured(figure: go.Figure, palette: str) -> go.Figure:
    """The figure in the colours of a palette; the figure itself in the first one.

    Raises:
        KeyError: there is no palette of that name.
    """
    other = {old.lower(): new for old, new in PALETTES[palette].items()}
    if not other:
        return figure
    text = str(figure.to_json())
    found = re.sub(r'"(#[0-9a-fA-F]{6})"', lambda match: f'"{other.get(match[1].lower(), match[1])}"', text)
    return go.Figure(json.loads(found))
