"""Plotly figures of codebooks: what they cost, what their codes stand for, interventions, steering, class by class."""

from collections.abc import Sequence
from math import log2
from typing import Any

import plotly.graph_objects as go

from workbench.core import Result, register

from .template import COLOURS, DIVERGING, figure
from .theme import NEGATIVE, NEUTRAL, POSITIVE
from .wording import plain


def _error(rows: Sequence[dict[str, Any]], key: str, low: str = "", high: str = "") -> dict[str, Any]:
    """Error bars around a column, from `<key>_low` and `<key>_high` or the columns named."""
    low, high = low or f"{key}_low", high or f"{key}_high"
    return {"array": [row[high] - row[key] for row in rows], "arrayminus": [row[key] - row[low] for row in rows]}


def _groups(rows: Sequence[dict[str, Any]], key: str) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(str(row[key]), []).append(row)
    return found


@register("figure", "codebook reproduction")
def loss_curves(result: Result) -> go.Figure:
    """The training loss of every model above the floor of its automaton, over tokens; the end is the exact excess."""
    fig = figure(yaxis_title="nats a token above the floor", xaxis_title="million tokens", yaxis_type="log")
    models = {row["model"]: row for row in result.tables.get("models", [])}
    curves = _groups(result.tables.get("curves", []), "model")
    for number, (name, row) in enumerate(models.items()):
        points, colour = curves.get(name, []), COLOURS[number % len(COLOURS)]
        excess = [point["loss"] - row["floor"] for point in points]
        fig.add_scatter(
            x=[point["million_tokens"] for point in points],
            y=[value if value > 0 else None for value in excess],
            mode="lines",
            line={"color": colour},
            name=plain(name),
        )
        fig.add_scatter(
            x=[row["million_tokens"]], y=[row["above_floor"]], mode="markers", marker={"color": colour, "size": 9},
            hovertext=plain(f"{name}: exact"), showlegend=False,
        )  # fmt: skip
    return fig


@register("figure", "code precision")
def code_precision(result: Result) -> go.Figure:
    """Precision of the codes of states, and of the best neurons at the same recall, by model."""
    rows = [row for row in result.tables.get("codes", []) if row["neurons"] == "attn_z and mlp_out"]
    fig = figure(yaxis_title="mean precision over states", yaxis_range=[0, 1.05], barmode="group")
    labels = [plain(f"{row['model']}, recall over {row['least_recall']:g}") for row in rows]
    for name, value, low, high, colour in (
        ("codes", "code_precision", "low", "high", POSITIVE),
        ("best neurons", "neuron_precision", "neuron_low", "neuron_high", NEGATIVE),
    ):
        error = _error(rows, value, low, high)
        fig.add_bar(x=labels, y=[row[value] for row in rows], error_y=error, name=name, marker={"color": colour})
    return fig


@register("figure", "code purity")
def purity_by_layer(result: Result) -> go.Figure:
    """The share of used codes that stand for one state or one state with a digit, by layer; MLPs solid."""
    fig = figure(yaxis_title="share of used codes", xaxis_title="layer", yaxis_range=[0, 1.05])
    for number, (model, rows) in enumerate(_groups(result.tables.get("purity", []), "model").items()):
        for kind, own in _groups(rows, "kind").items():
            own = sorted(own, key=lambda row: row["layer"])
            fig.add_scatter(
                x=[row["layer"] for row in own],
                y=[row["states"] + row["pairs"] for row in own],
                mode="lines+markers",
                name=plain(f"{model} {kind}"),
                line={"color": COLOURS[number % len(COLOURS)], "dash": "solid" if kind.startswith("mlp") else "dot"},
                hovertext=[
                    f"{row['states']:.0%} states, {row['pairs']:.0%} pairs of {row['used']} used" for row in own
                ],
            )
    return fig.update_xaxes(dtick=1)


@register("figure", "state patches")
def state_patches(result: Result) -> go.Figure:
    """Divergence to what follows the other state, relative to no patch, by set of patched codes (0: a full shift)."""
    fig = figure(xaxis_title="divergence, relative to no patch", barmode="group", yaxis_autorange="reversed")
    tables = _groups(result.tables.get("interventions", []), "target")
    for number, (target, rows) in enumerate(tables.items()):
        fig.add_bar(
            orientation="h",
            x=[row["divergence"] for row in rows],
            y=[[plain(row["model"]) for row in rows], [plain(row["patch"]) for row in rows]],
            error_x=_error(rows, "divergence", "low", "high"),
            name=plain(target),
            marker={"color": COLOURS[number % len(COLOURS)]},
        )
    count = max((len(rows) for rows in tables.values()), default=1)
    fig.update_layout(height=max(320, 30 * count + 120))
    return fig.add_vline(x=1, line={"color": NEUTRAL, "dash": "dash", "width": 1})


@register("figure", "codebook training")
def codebook_training(result: Result) -> go.Figure:
    """Cross-entropy over training, and what held-out text says of each variant as a level line."""
    rows = [row for row in result.tables.get("training", []) if "cross_entropy" in row]
    fig = figure(xaxis_title="tokens", yaxis_title="cross-entropy (nats a token)")
    fig.add_scatter(
        x=[row["tokens"] for row in rows], y=[row["cross_entropy"] for row in rows], mode="lines", name="training"
    )
    ends = (rows[0]["tokens"], rows[-1]["tokens"]) if rows else (0, 1)
    for number, row in enumerate(result.tables.get("losses", []), start=1):
        fig.add_scatter(
            x=ends, y=[row["ce"]] * 2, mode="lines", name=plain(f"held out, {row['variant']}: {row['ce']:.3f}"),
            line={"dash": "dash", "width": 1.5, "color": COLOURS[number % len(COLOURS)]},
        )  # fmt: skip
    return fig


@register("figure", "code steering")
def code_steering(result: Result) -> go.Figure:
    """Success by topic and protocol with intervals; hover tells what it cost."""
    fig = figure(yaxis_title="share of samples about the topic", yaxis_range=[0, 1.05], barmode="group")
    for name, rows in _groups(result.tables.get("steering", []), "protocol").items():
        fig.add_bar(
            x=[plain(row["topic"]) for row in rows],
            y=[row["success"] for row in rows],
            error_y=_error(rows, "success"),
            name=plain(name),
            hovertext=[
                f"{row['codes']} codes; held-out {row['heldout_ce']:.2f}, samples {row['sample_ce']:.2f} nats a token"
                for row in rows
            ],
        )
    return fig


@register("figure", "code search")
def code_search(result: Result) -> go.Figure:
    """Precision against recall of the codes found; neurons at the same recall as crosses."""
    rows = result.tables.get("codes", [])
    fig = figure(xaxis_title="recall", yaxis_title="precision", yaxis_range=[0, 1.05])
    fig.add_scatter(
        x=[row["recall"] for row in rows], y=[row["precision"] for row in rows], mode="markers", name="codes",
        marker={"color": POSITIVE, "size": 9}, hovertext=[plain(row["unit"]) for row in rows],
    )  # fmt: skip
    beside = [row for row in rows if "neuron" in row]
    if beside:
        fig.add_scatter(
            x=[row["recall"] for row in beside], y=[row["neuron_precision"] for row in beside], mode="markers",
            name="best neurons", marker={"color": NEGATIVE, "symbol": "x", "size": 9},
            hovertext=[plain(row["neuron"]) for row in beside],
        )  # fmt: skip
    return fig


@register("figure", "topic codes")
def topic_codes(result: Result) -> go.Figure:
    """How active the codes of each topic are in its windows, against elsewhere."""
    fig = figure(xaxis_title="share of tokens elsewhere", yaxis_title="share of tokens in the topic's windows")
    for name, rows in _groups(result.tables.get("codes", []), "topic").items():
        fig.add_scatter(
            x=[row["elsewhere"] for row in rows], y=[row["activity"] for row in rows], mode="markers",
            name=plain(name, 40), hovertext=[plain(row["unit"]) for row in rows],
        )  # fmt: skip
    return fig


@register("figure", "code relations")
def code_relations(result: Result) -> go.Figure:
    """What goes with, before and after the codes: lift of the strongest pairs."""
    fig = figure(xaxis_title="lift", yaxis_autorange="reversed", barmode="group")
    rows = result.tables.get("relations", [])[:40]
    for name, own in _groups(rows, "relation").items():
        fig.add_bar(
            orientation="h",
            x=[row["lift"] for row in own],
            y=[plain(f"{row['unit']}, {row['other']}") for row in own],
            hovertext=[f"{row['count']} pairs" for row in own],
            name=plain(name),
        )
    return fig.update_layout(height=max(280, 22 * len(rows) + 120))


@register("figure", "continual")
def continual(result: Result) -> go.Figure:
    """Accuracy over all classes after the last task, beside the same method on all classes at once."""
    rows = result.tables.get("final", [])
    fig = figure(yaxis_title="accuracy on all classes", yaxis_range=[0, 1.05], barmode="group")
    for key, name, colour in (("accuracy", "task by task", POSITIVE), ("iid", "all at once", NEUTRAL)):
        fig.add_bar(
            x=[plain(row["method"]) for row in rows],
            y=[row[key] for row in rows],
            error_y=_error(rows, key),
            name=name,
            marker={"color": colour},
        )
    return fig


@register("figure", "code contexts")
def code_contexts(result: Result) -> go.Figure:
    """Where in a sequence a code stands."""
    rows = result.tables.get("positions", [])
    fig = figure(xaxis_title="position in the sequence", yaxis_title="places")
    return fig.add_bar(x=[row["position"] for row in rows], y=[row["count"] for row in rows], showlegend=False)


@register("figure", "code use")
def code_use(result: Result) -> go.Figure:
    """Use of the codes by rank, codebook by codebook, on logarithmic axes."""
    fig = figure(xaxis_title="rank", yaxis_title="places", xaxis_type="log", yaxis_type="log")
    for name, rows in _groups(result.tables.get("codes", []), "group").items():
        counts = [row["count"] for row in rows]
        fig.add_scatter(x=list(range(1, len(counts) + 1)), y=counts, mode="lines", name=plain(f"codebook {name}"))
    return fig


@register("figure", "code lift")
def code_lift(result: Result) -> go.Figure:
    """How much more often the codes of two members go together than if they were independent, log2."""
    rows = result.tables.get("pairs", [])
    first, second = (list(dict.fromkeys(row[key] for row in rows)) for key in ("first", "second"))
    lifts = {(row["first"], row["second"]): row["lift"] for row in rows}
    values = [[log2(max(lifts[a, b], 2.0**-6)) if (a, b) in lifts else None for b in second] for a in first]
    fig = figure(height=max(320, 18 * len(first) + 120))
    return fig.add_heatmap(
        z=values, x=[plain(unit) for unit in second], y=[plain(unit) for unit in first], zmid=0,
        colorscale=DIVERGING, colorbar={"title": "log2 lift"},
    )  # fmt: skip
