"""Static picture of an evaluation: what each layer's dictionary leaves unexplained, beside the affine map."""

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from workbench.core import Result

from .measurements import layer_rows
from .picture import INKS, end_labels, picture

LINES = {
    "fvu": ("dictionary", INKS.positive, "o"),
    "fvu_affine": ("best affine map", INKS.negative, "s"),
    "fvu_untrained": ("untrained dictionary", INKS.neutral, "D"),
}


def _known(value: float | None) -> bool:
    return value is not None and value - value == 0


def fvu_by_layer_svg(result: Result, name: str = "fvu") -> str:
    """FVU (fraction of variance unexplained) of every layer on held-out text; empty where nothing is known."""
    rows = layer_rows(result)
    layers = [row["layer"] for row in rows]
    shown = {key: line for key, line in LINES.items() if any(_known(row.get(key)) for row in rows)}
    if not shown:
        return ""

    def draw(figure: Figure) -> None:
        axis = figure.subplots()
        labels = []
        for key, (text, colour, mark) in shown.items():
            values = [row[key] if _known(row.get(key)) else float("nan") for row in rows]
            last = max(place for place, value in enumerate(values) if value == value)
            axis.plot(layers, values, marker=mark, markersize=4, color=colour)
            labels.append((layers[last], values[last], text, colour))
        axis.set_ylim(bottom=0)
        axis.set_xlabel("layer")
        axis.set_ylabel("FVU, held-out text")
        axis.margins(x=0.02)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        end_labels(axis, labels, axis.get_ylim()[1] * 0.09)

    return picture(name, f"FVU by layer for {len(rows)} layers: {', '.join(shown)}", (10.2, 2.9), draw)
