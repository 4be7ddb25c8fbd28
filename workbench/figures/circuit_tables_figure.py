"""Plotly figures of what is told of circuits in tables: ranking, ledger, carrying heads, invariant links, groups."""

from collections.abc import Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from workbench.core import Result, register

from .discovery_figure import Rows, error_bars
from .template import COLOURS, NAME, SEQUENTIAL, figure
from .theme import NEGATIVE, NEUTRAL, POSITIVE
from .wording import plain

MOST = 30


@register("figure", "score_ranking")
def score_ranking(result: Result) -> go.Figure:
    """Every score of the trained set beside its spoiled copies: a score that tells puts the trained set first."""
    rows = result.tables.get("ranking", [])
    scores = [key for key in ("replacement", "completeness_features", "group_effect") if any(key in r for r in rows)]
    titles = [plain(score.replace("_", " ")) for score in scores] or [""]
    fig = make_subplots(rows=1, cols=len(titles), subplot_titles=titles, shared_yaxes=True)
    names = [plain(row["set"]) for row in rows]
    for column, score in enumerate(scores, 1):
        best = max((row[score] for row in rows if row["set"] != "trained"), default=0.0)
        colours = [_rank_colour(row["set"], row[score], best) for row in rows]
        error = error_bars(rows, score, (f"{score} low", f"{score} high"))
        values, marker = [row[score] for row in rows], {"color": colours}
        fig.add_bar(
            x=values, y=names, error_x=error, orientation="h", marker=marker, showlegend=False, row=1, col=column
        )
    fig.update_layout(template=NAME, height=max(260, 40 * len(rows) + 130))
    return fig.update_yaxes(autorange="reversed", col=1)


def _rank_colour(name: str, value: float, best: float) -> str:
    """Blue for the trained set; orange for a spoiled copy that is at the top."""
    if name == "trained":
        return POSITIVE
    return NEGATIVE if value == best else NEUTRAL


@register("figure", "error_ledger")
def error_ledger(result: Result) -> go.Figure:
    """Where the influence on the targets ends, layer by layer."""
    rows = result.tables.get("layers", [])
    fig = figure(barmode="stack", title="influence that ends in each layer")
    parts = {"errors": NEGATIVE, "errors_start": COLOURS[4], "unexpanded": NEUTRAL}
    for key, colour in parts.items():
        if any(row.get(key) for row in rows):
            x, y = [row["layer"] for row in rows], [row[key] for row in rows]
            fig.add_bar(x=x, y=y, name=plain(key.replace("_", " ")), marker={"color": colour})
    return fig.update_xaxes(title="layer").update_yaxes(title="share of influence")


@register("figure", "edge_heads")
def edge_heads(result: Result) -> go.Figure:
    """The part of each edge that the strongest heads carry."""
    rows = result.tables.get("heads", [])
    edges = list(dict.fromkeys((row["source"], row["target"]) for row in rows))
    fig = figure(barmode="group", title="parts of edges by attention head")
    strongest = sorted(rows, key=lambda row: -abs(row["part"]))
    kept = list(dict.fromkeys((row["layer"], row["head"]) for row in strongest))[:MOST]
    for number, (source, target) in enumerate(edges[:8]):
        mine = {(r["layer"], r["head"]): r["part"] for r in rows if (r["source"], r["target"]) == (source, target)}
        x = ["no head" if layer < 0 else f"{layer}.{head}" for layer, head in kept]
        y, colour = [mine.get(head) for head in kept], COLOURS[number % len(COLOURS)]
        fig.add_bar(x=x, y=y, name=plain(f"{source} to {target}", 60), marker={"color": colour})
    return fig.update_xaxes(title="layer.head", type="category").update_yaxes(title="part of the edge's weight")


@register("figure", "invariant_circuit")
def invariant_circuit(result: Result) -> go.Figure:
    """The features that a feature reads by the weights alone, a colour for each way through heads."""
    rows = result.tables.get("features", [])
    ways = list(dict.fromkeys(row["through"] for row in rows))
    fig = figure(barmode="group", height=max(320, 20 * len(rows) + 140))
    for number, way in enumerate(ways):
        mine = [row for row in rows if row["through"] == way]
        fig.add_bar(
            orientation="h",
            x=[row["weight"] for row in mine],
            y=[plain(f"{row['layer']}.{row['index']} ({way})") for row in mine],
            name=plain(way),
            marker={"color": COLOURS[number % len(COLOURS)]},
        )
    return fig.update_yaxes(autorange="reversed").update_xaxes(title="weight per unit of activation")


@register("figure", "invariant_connection")
def invariant_connection(result: Result) -> go.Figure:
    """What one feature hands another, directly and through the strongest heads."""
    rows = result.tables.get("ways", [])
    return _signed_bars(rows, [row["through"] for row in rows], "weight per unit of activation")


@register("figure", "path_search")
def path_search(result: Result) -> go.Figure:
    """The strongest paths into a feature, what flows along each."""
    rows = result.tables.get("paths", [])[:MOST]
    fig = figure(height=max(320, 24 * len(rows) + 120))
    fig.add_bar(
        orientation="h",
        x=[row["value"] for row in rows],
        y=[plain(f"{number}. {row['path']}", 110) for number, row in enumerate(rows, 1)],
        marker={"color": [POSITIVE if row["value"] >= 0 else NEGATIVE for row in rows]},
    )
    return fig.update_yaxes(autorange="reversed").update_xaxes(title="what flows into the pre-activation")


@register("figure", "grouping")
def grouping(result: Result) -> go.Figure:
    """What supernodes and single nodes hand to each other, strongest first."""
    rows = result.tables.get("edges", [])[:MOST]
    return _signed_bars(rows, [f"{row['source']} to {row['target']}" for row in rows], "share of edge influence")


@register("figure", "report_comparison")
def report_comparison(result: Result) -> go.Figure:
    """How many numbers of each block of a report moved when it was run again."""
    rows = result.tables.get("blocks", [])
    fig = figure(barmode="stack")
    names = [plain(row["block"]) for row in rows]
    fig.add_bar(x=names, y=[row["numbers"] - row["moved"] for row in rows], name="as before", marker_color=POSITIVE)
    fig.add_bar(x=names, y=[row["moved"] for row in rows], name="moved", marker_color=NEGATIVE)
    return fig.update_yaxes(title="numbers")


@register("figure", "planted_circuits")
def planted_circuits(result: Result) -> go.Figure:
    """AUROC of every method against planted truth, by node and by edge, mean over circuits."""
    rows = result.tables.get("methods", [])
    kinds = list(dict.fromkeys(row["distractors"] for row in rows))
    methods = list(dict.fromkeys(row["method"] for row in rows))
    columns = [(kind, level) for kind in kinds for level in ("node", "edge")]
    known = {(row["method"], row["distractors"]): row for row in rows}
    values = [[known.get((m, kind), {}).get(f"{level} AUROC") for kind, level in columns] for m in methods]
    fig = figure(title="AUROC against planted circuits", height=max(280, 34 * len(methods) + 140))
    fig.add_heatmap(
        z=values,
        x=[plain(f"{level}s ({kind})") for kind, level in columns],
        y=[plain(method) for method in methods],
        zmin=0.5,
        zmax=1,
        colorscale=SEQUENTIAL,
        texttemplate="%{z:.3f}",
        hoverongaps=False,
    )
    return fig.update_yaxes(autorange="reversed")


@register("figure", "code_sweep")
def code_sweep(result: Result) -> go.Figure:
    """Node AUROC of discrete codes by the number of codes and of training examples."""
    keys = [key for key in ("codes", "examples") if result.tables.get(key)] or ["codes"]
    fig = make_subplots(rows=1, cols=len(keys), subplot_titles=[f"by number of {key}" for key in keys])
    for column, key in enumerate(keys, 1):
        rows = result.tables.get(key, [])
        for number, name in enumerate(dict.fromkeys(row["model"] for row in rows)):
            mine = [row for row in rows if row["model"] == name]
            x, colour, text = [row[key] for row in mine], COLOURS[number % len(COLOURS)], plain(name)
            shared = {"legendgroup": text, "showlegend": column == 1, "row": 1, "col": column}
            error = {"array": [row["sd"] for row in mine], "visible": all(row["sd"] == row["sd"] for row in mine)}
            fig.add_scatter(
                x=x, y=[row["AUROC"] for row in mine], error_y=error, name=text, line={"color": colour}, **shared
            )
            shared["showlegend"], dotted = False, {"color": colour, "dash": "dot"}
            fig.add_scatter(x=x, y=[row["mean difference"] for row in mine], mode="lines", line=dotted, **shared)
    fig.update_layout(template=NAME)
    return fig.update_xaxes(type="log").update_yaxes(title="node AUROC (dotted: mean difference)", col=1)


@register("figure", "tasks")
def tasks(result: Result) -> go.Figure:
    """The share of prompts that the model answers right, task by task."""
    rows = result.tables.get("tasks", [])
    fig = figure()
    colours = [POSITIVE if row["solved"] == "yes" else NEGATIVE for row in rows]
    shares = [row.get("right") for row in rows]
    fig.add_bar(x=[plain(row["task"]) for row in rows], y=shares, marker={"color": colours})
    return fig.update_yaxes(title="share of prompts that are right", range=[0, 1])


def _signed_bars(rows: Rows, names: Sequence[str], said: str) -> go.Figure:
    """Horizontal bars of the rows' weights, blue and orange."""
    fig = figure(height=max(320, 24 * len(rows) + 120))
    colours = [POSITIVE if row["weight"] >= 0 else NEGATIVE for row in rows]
    weights = [row["weight"] for row in rows]
    fig.add_bar(orientation="h", x=weights, y=[plain(name, 90) for name in names], marker={"color": colours})
    return fig.update_yaxes(autorange="reversed").update_xaxes(title=plain(said))
