"""Static pictures of a validation: the group curve and the single ablations."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from workbench.core import Result

from .measurements import SET_NAMES, GroupPoint, baseline, group_points, singles
from .picture import INKS, end_labels, picture
from .wording import clip, legible, show

PANELS = {"frozen": "Measured with attention frozen", "free": "Measured with everything free"}
SHORT = {"frozen": "Attention frozen", "free": "Everything free"}
COLOURS = {"trained": INKS.positive, "untrained": INKS.negative, "random": INKS.neutral}
MARKS = {"trained": "o", "untrained": "s", "random": "D"}


def group_curve_svg(result: Result, metric: str = "metric", name: str = "groups") -> str:
    """The metric after removing groups of n features: measured (solid) and predicted (dotted), with controls."""
    points, start = group_points(result), baseline(result)
    shown = [m for m in PANELS if any(getattr(p, m) == getattr(p, m) for p in points)]

    def draw(figure: Figure) -> None:
        axes = figure.subplots(1, max(len(shown), 1), sharey=True, squeeze=False)[0]
        for place, (axis, measure) in enumerate(zip(axes, shown, strict=False)):
            _group_panel(axis, points, measure, start, last=place == len(shown) - 1)
        axes[0].set_ylabel(clip(legible(metric), 36))
        figure.supxlabel(
            "features removed (those that support the metric most; random: drawn by seed)",
            color=INKS.muted,
            fontsize=10.5,
        )

    said = "; ".join(
        f"{p.set} n={p.n}: predicted {show(p.predicted)}, frozen {show(p.frozen)}, free {show(p.free)}" for p in points
    )
    return picture(name, f"{metric} after removing groups of features, from {show(start)}. {said}", (10.2, 3.9), draw)


def _group_panel(axis: Axes, points: Sequence[GroupPoint], measure: str, start: float, last: bool) -> None:
    sizes = sorted({p.n for p in points})
    places = {n: place for place, n in enumerate(sizes, 1)}
    labels = []
    for name in dict.fromkeys(p.set for p in points):
        rows = [p for p in points if p.set == name]
        colour, x = COLOURS.get(name, INKS.ink), [0, *(places[p.n] for p in rows)]
        y = [start, *(getattr(p, measure) for p in rows)]
        axis.plot(x, [start, *(p.predicted for p in rows)], ":", color=colour, linewidth=1.6)
        axis.plot(x, y, "-", marker=MARKS.get(name, "^"), color=colour)
        low = [v - p.sd[measure] for v, p in zip(y[1:], rows, strict=True)]
        high = [v + p.sd[measure] for v, p in zip(y[1:], rows, strict=True)]
        if any(p.sd[measure] for p in rows):
            axis.fill_between(x[1:], low, high, color=colour, alpha=0.18, linewidth=0)
        labels.append((x[-1], y[-1], SET_NAMES.get(name, name), colour))
    axis.axhline(0, color=INKS.muted, linewidth=0.8)
    axis.set_title(PANELS[measure])
    axis.set_xticks([0, *places.values()], ["none", *map(str, sizes)])
    axis.set_xlim(-0.15, len(sizes) + 0.15)
    axis.margins(y=0.08)
    if last:
        low, high = axis.get_ylim()
        end_labels(axis, labels, (high - low) * 0.075)


def single_scatter_svg(result: Result, metric: str = "metric", name: str = "singles") -> str:
    """Predicted against measured change of the metric for single features, both measures."""
    rows = singles(result)
    shown = [m for m in PANELS if any(row.get(m) is not None for row in rows)]

    def draw(figure: Figure) -> None:
        axes = figure.subplots(1, max(len(shown), 1), squeeze=False)[0]
        values = [abs(row[m]) for row in rows for m in ("predicted", *shown) if row.get(m) is not None]
        reach = 1.08 * max(values, default=1.0)
        for axis, measure in zip(axes, shown, strict=False):
            _scatter_panel(axis, rows, measure, reach)
        axes[0].set_ylabel(clip(f"change of {legible(metric)}", 42))

    return picture(name, f"Predicted and measured change for {len(rows)} single features", (10.2, 4.4), draw)


def _scatter_panel(axis: Axes, rows: Sequence[dict], measure: str, reach: float) -> None:
    pairs = [(row["predicted"], row[measure]) for row in rows if row.get(measure) is not None]
    good = [(x, y) for x, y in pairs if x * y > 0]
    bad = [(x, y) for x, y in pairs if x * y <= 0]
    axis.grid(visible=True, axis="both")
    axis.axhline(0, color=INKS.muted, linewidth=0.8)
    axis.axvline(0, color=INKS.muted, linewidth=0.8)
    axis.plot([-reach, reach], [-reach, reach], "--", color=INKS.muted, linewidth=1)
    for some, colour, mark in ((good, INKS.positive, "o"), (bad, INKS.negative, "x")):
        if some:
            x, y = zip(*some, strict=True)
            axis.scatter(x, y, s=26, color=colour, marker=mark, alpha=0.8, linewidths=1.4)
    axis.set_xlim(-reach, reach)
    axis.set_ylim(-reach, reach)
    axis.set_box_aspect(0.72)
    axis.set_title(f"{SHORT[measure]}: sign agrees {len(good)} of {len(pairs)}")
    axis.set_xlabel("predicted change (linear)")
