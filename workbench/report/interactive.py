"""Interactive HTML: the light report with a selectable graph, sortable tables and plotly figures, all of it inlined."""

import json
from functools import cache
from importlib.resources import files
from typing import Any

from markupsafe import Markup

from workbench.core import Result
from workbench.figures import evaluation, group_curve, plot_html, plotly_script, single_ablations, theme_colours

from .blocks import EvaluationBlock, GraphBlock, ValidationBlock
from .html import render_page
from .report import Report

POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data: blob:"


def report_interactive(report: Report) -> str:
    """The whole report as one page with scripts; nothing is loaded, everything from outside is escaped."""
    figures = {block.kind: _figures(block) for block in report.blocks}
    library = plotly_script() if any(figures.values()) else ""
    head = Markup("<script>{}</script>").format(Markup(library))
    own = Markup("<script>{}</script>").format(Markup(_script()))
    return render_page(report, POLICY, figures, [head, script_data("report-data", _data(report)), own])


def script_data(name: str, data: Any) -> Markup:
    """JSON that a page's script reads; nothing in it can end the element."""
    text = json.dumps(data, allow_nan=False).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return Markup('<script type="application/json" id="{}">{}</script>').format(name, Markup(text))


def _data(report: Report) -> dict[str, Any]:
    """The drawn edges by rank, and what each drawn node is called."""
    nodes, pictured = report.block("nodes"), report.block("graph")
    ranks = {node.id: node.rank for node in nodes.nodes} if nodes else {}
    edges = pictured.drawn_edges if isinstance(pictured, GraphBlock) else ()
    return {
        "labels": {node.rank: node.label for node in nodes.nodes} if nodes else {},
        "kinds": {node.rank: node.kind for node in nodes.nodes} if nodes else {},
        "edges": [[ranks.get(e.source), ranks.get(e.target), e.weight, e.share] for e in edges],
        "colours": theme_colours(),
    }


@cache
def _script() -> str:
    return files("workbench.report").joinpath("templates", "interactive.js").read_text(encoding="utf-8")


def _figures(block: Any) -> list[Markup]:
    """The figures that follow a block, made from its numbers alone."""
    found = []
    if isinstance(block, ValidationBlock):
        result = _validation(block)
        if block.groups:
            found.append(plot_html(group_curve(result), "plot-groups"))
        if block.singles:
            found.append(plot_html(single_ablations(result), "plot-singles"))
    if isinstance(block, EvaluationBlock) and len(block.layers) > 1:
        tables = {"layers": list(block.layers)}
        found.append(plot_html(evaluation(Result("evaluation", scalars={}, tables=tables)), "plot-layers", 340))
    return [Markup(figure) for figure in found]


def _validation(block: ValidationBlock) -> Result:
    groups = [row.model_dump() for row in block.groups]
    singles = [{**row.model_dump(exclude={"checked"}), **row.checked.model_dump()} for row in block.singles]
    scalars = {"metric_value": block.baseline} if block.baseline is not None else {}
    return Result("validation", scalars, {"groups": groups, "single": singles}, params=block.params)
