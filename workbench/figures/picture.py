"""Static pictures by matplotlib as inline SVG: the same bytes every time, themed by CSS variables, no script."""

import io
import re
import threading
import warnings
from collections.abc import Callable
from dataclasses import asdict, fields
from typing import Any

import matplotlib
from markupsafe import escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .theme import FONT, Palette, variables

# Colours that no picture uses by chance; each becomes the theme's variable of that name.
INKS = Palette(*(f"#0{i}fe0{i}" for i in range(len(fields(Palette)))))
_lock = threading.Lock()
_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "workbench",
    "text.parse_math": False,
    "font.family": ["sans-serif"],
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 11,
    "axes.facecolor": "none",
    "axes.edgecolor": INKS.line,
    "axes.labelcolor": INKS.muted,
    "axes.titlecolor": INKS.ink,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 10.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": INKS.line,
    "grid.linewidth": 0.7,
    "text.color": INKS.ink,
    "xtick.color": INKS.line,
    "ytick.color": INKS.line,
    "xtick.labelcolor": INKS.muted,
    "ytick.labelcolor": INKS.muted,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "lines.linewidth": 2.0,
    "lines.markersize": 5,
    "legend.frameon": False,
    "legend.fontsize": 10.5,
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
}


def picture(name: str, alt: str, size: tuple[float, float], draw: Callable[[Figure], None]) -> str:
    """An inline SVG of what `draw` puts on a Figure of `size` inches.

    Args:
        name: prefix of every element id, so that several pictures fit on one page.
        alt: what a reader who cannot see it is told.
    """
    with _lock, matplotlib.rc_context(_SETTINGS), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return _tidy(out.getvalue(), name, alt)


def _tidy(text: str, name: str, alt: str) -> str:
    """Keep only the drawing: no prolog, no metadata, no style that would leak into the page."""
    text = text[text.index("<svg") :]
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<style type=\"text/css\">.*?</style>", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->\n?", "", text, flags=re.DOTALL)
    text = re.sub(r"\n\s*", "\n", text)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(xlink:href="#|url\(#)', rf"\g<1>{name}-", text)
    for key, colour in asdict(INKS).items():
        text = text.replace(colour, f"var(--wb-{key})")
    text = text.replace("'DejaVu Sans', sans-serif", FONT).replace("'DejaVu Sans'", FONT)
    head = f'<svg class="wb wb-picture" role="img" aria-label="{escape(alt)}" stroke-linejoin="round"'
    style = f"<style>{variables('.wb-picture')}</style>"
    text = text.replace("<svg", head, 1)
    opening = text.index(">") + 1
    return text[:opening] + style + text[opening:].replace("<defs>\n</defs>\n", "")


def spread(values: list[float], gap: float) -> list[float]:
    """The values moved apart so that neighbours are at least `gap` from each other, their middle kept."""
    order = sorted(range(len(values)), key=lambda i: values[i])
    groups: list[tuple[float, list[int]]] = []
    for i in order:
        groups.append((values[i], [i]))
        while len(groups) > 1:
            (low, one), (high, two) = groups[-2:]
            if high - low >= gap * (len(one) + len(two)) / 2 - 1e-12:
                break
            both = one + two
            groups[-2:] = [(sum(values[j] for j in both) / len(both), both)]
    out = [0.0] * len(values)
    for centre, members in groups:
        for place, i in enumerate(members):
            out[i] = centre + (place - (len(members) - 1) / 2) * gap
    return out


def end_labels(axes: Axes, labels: list[tuple[float, float, str, str]], gap: float) -> None:
    """Names written at the right ends of lines, (x, y, text, colour), moved apart where they would touch."""
    for (x, _, text, colour), y in zip(labels, spread([y for _, y, _, _ in labels], gap), strict=True):
        axes.annotate(
            text, (x, y), xytext=(8, 0), textcoords="offset points", va="center", color=colour, annotation_clip=False
        )
