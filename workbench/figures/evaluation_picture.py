"""Static picture of an evaluation: what each layer's dictionary leaves unexplained, beside the affine map."""

from matplotlib.figure import Figure

from workbench.core import Result

from .measurements import layer_rows
from .picture import INKS, end_labels, picture

LINES = {
    "fvu": ("dictionary", INKS.positive, "o"),
    "fvu_affine": ("best affine map", INKS.negative, "s"),
    "fvu_untrained": ("untrained dictionary", INKS.neutral, "D"),
}


def fvu_by_layer_svg(result: Result, name: str = "fvu") -> str:
    """FVU (fraction of variance unexplained) of every layer on held-out text; lower is better."""
    rows = layer_rows(result)
    layers = [row["layer"] for row in rows]
    shown = {key: line for key, line in LINES.items() if any(row.get(key) is not None for row in rows)}

    def draw(figure: Figure) -> None:
        axis = figure.subplots()
        labels = []
        for key, (text, colour, mark) in shown.items():
            values = [row.get(key, float("nan")) for row in rows]
            axis.plot(layers, values, marker=mark, markersize=4, color=colour)
            labels.append((layers[-1], values[-1], text, colour))
        axis.set_ylim(bottom=0)
        axis.set_xlabel("layer")
        axis.set_ylabel("FVU, held-out text")
        axis.margins(x=0.02)
        end_labels(axis, labels, axis.get_ylim()[1] * 0.09)

    return picture(name, f"FVU by layer for {len(rows)} layers: {', '.join(shown)}", (10.2, 2.9), draw)
