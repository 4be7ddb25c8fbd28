"""What a notebook shows of a Result or a graph: self-contained HTML, no script, small, everything escaped."""

import hashlib
from collections.abc import Callable, Mapping, Sequence, Sized
from typing import Any

from markupsafe import Markup

from workbench.core import CircuitGraph, Result, register

from .evaluation_picture import fvu_by_layer_svg
from .graph_picture import graph_svg
from .layout import node_label, ranked
from .measurements import layer_rows
from .theme import FONT, MONO
from .tokens import strip_style, token_strip
from .validation_picture import group_curve_svg
from .wording import legible, show, signed, visible

MOST_BYTES = 300_000
MOST_ROWS, MOST_COLUMNS, MOST_TEXT, MOST_ON_A_LINE = 20, 14, 160, 32
STYLE = (
    strip_style()
    + ".wb{background:var(--wb-paper);color:var(--wb-ink);font-size:14px;padding:12px;overflow-x:auto}"
    + f".wb{{font-family:{FONT}}}"
    ".wb h3{font-size:1.05em;margin:.2em 0 .6em}.wb p{color:var(--wb-muted);margin:.4em 0}"
    ".wb table{border-collapse:collapse;margin:.5em 0 1em;background:none}"
    ".wb th,.wb td{padding:.2em .7em;border-bottom:1px solid var(--wb-line);text-align:left;background:none;"
    "color:inherit;font-variant-numeric:tabular-nums}"
    ".wb td{white-space:nowrap}.wb td.long{white-space:normal}"
    ".wb th{color:var(--wb-muted);font-weight:600}"
    f".wb code{{font-family:{MONO};font-size:.92em;background:none;color:inherit}}"
    ".wb .badge{border:1px solid var(--wb-negative);color:var(--wb-negative);border-radius:3px;padding:0 .4em}"
    ".wb svg{max-width:100%;height:auto}"
)


def _cell(value: Any) -> str | Markup:
    if isinstance(value, Markup):
        return value
    if isinstance(value, list | tuple):
        value = " ".join(_cell(item) for item in value[:8])
    return legible(show(value), MOST_TEXT)


def _with_intervals(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with `x_low` and `x_high` behind `x`, in one cell."""
    ends = {f"{key}_{end}" for key in row for end in ("low", "high") if f"{key}_low" in row and f"{key}_high" in row}
    found: dict[str, Any] = {}
    for key, value in row.items():
        if key in ends:
            continue
        low, high = (row.get(f"{key}_{end}") if f"{key}_{end}" in ends else None for end in ("low", "high"))
        known = isinstance(low, float) and isinstance(high, float) and low == low and high == high
        found[key] = f"{_cell(value)} [{_cell(low)}, {_cell(high)}]" if known else value
    return found


def _with_strip(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with its `tokens` coloured by its `values`, as one cell."""
    tokens, values, peak = row.get("tokens"), row.get("values"), row.get("peak")
    if not isinstance(tokens, list | tuple) or not isinstance(values, list | tuple) or len(tokens) != len(values):
        return dict(row)
    strip = token_strip([legible(str(token), 40) for token in tokens], values, peak=peak)
    return {key: strip if key == "tokens" else value for key, value in row.items() if key not in ("values", "peak")}


def _table_cell(value: Any) -> Markup:
    """A cell; short text stays on one line."""
    text = _cell(value)
    long = isinstance(value, Markup) or len(text) > MOST_ON_A_LINE
    return Markup("<td class=long>{}</td>" if long else "<td>{}</td>").format(text)


def _whole(value: Any) -> Any:
    """Counts are floats among scalars."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) > 1 else value


def _is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, Sized) and not isinstance(value, str) and len(value) == 0)


def table_html(rows: Sequence[Mapping[str, Any]], caption: str = "") -> Markup:
    """The first rows and columns of a table, with a word on what was left out."""
    rows, count = [_with_strip(_with_intervals(row)) for row in rows[:MOST_ROWS]], len(rows)
    said = {key for row in rows for key, value in row.items() if not _is_empty(value)}
    kept = said or {key for row in rows for key in row}
    columns = [key for key in dict.fromkeys(key for row in rows for key in row) if key in kept][:MOST_COLUMNS]
    head = Markup("").join(Markup("<th scope=col>{}</th>").format(legible(str(c), 40)) for c in columns)
    body = Markup("").join(
        Markup("<tr>{}</tr>").format(Markup("").join(_table_cell(row.get(c)) for c in columns)) for row in rows
    )
    more = f"{count - MOST_ROWS} more rows in .df()" if count > MOST_ROWS else ""
    return Markup("<p>{}</p><table><thead><tr>{}</tr></thead><tbody>{}</tbody></table><p>{}</p>").format(
        caption, head, body, more
    )


def _page(parts: Sequence[Markup]) -> str:
    """As many parts, in order, as fit the size limit."""
    page, size = Markup(""), len(STYLE) + 200
    for part in parts:
        length = len(part.encode())
        if size + length > MOST_BYTES:
            page += Markup("<p>More was left out to keep this small.</p>")
            break
        page, size = page + part, size + length
    return str(Markup('<div class="wb"><style>{}</style>{}</div>').format(Markup(STYLE), page))


PICTURES: dict[str, Callable[[Result], str]] = {
    "validation": lambda result: group_curve_svg(result, str(result.params.get("metric", "metric"))),
    "evaluation": lambda result: fvu_by_layer_svg(result) if layer_rows(result) else "",
}


@register("html", "result")
def result_html(result: Result) -> str:
    """Scalars, the kind's picture, the first rows of every table, the notes."""
    flag = Markup(' <span class="badge">partial</span>') if result.partial else Markup("")
    parts = [Markup("<h3>{}{}</h3>").format(legible(result.kind, 80), flag)]
    if result.scalars:
        rows = [{"quantity": key, "value": _whole(value)} for key, value in _with_intervals(result.scalars).items()]
        parts.append(table_html(rows))
    if (draw := PICTURES.get(result.kind)) and result.tables:
        parts.append(Markup(draw(result)))
    parts += [Markup("<p>{}</p>").format(legible(note, 500)) for note in result.notes[:20]]
    parts += [table_html(rows, name) for name, rows in result.tables.items() if rows]
    return _page(parts)


@register("html", "graph")
def graph_html(graph: CircuitGraph) -> str:
    """The picture and the most important nodes."""
    counts = f"{len(graph.nodes)} nodes, {len(graph.weight)} edges"
    scores = ", ".join(f"{name} {show(value)}" for name, value in graph.scores.items())
    rows = []
    for rank, i in enumerate(ranked(graph, range(len(graph.nodes)))[:MOST_ROWS], 1):
        node, token = graph.nodes[i], graph.tokens[graph.nodes[i].position]
        rows.append(
            {
                "rank": rank,
                "node": node.id,
                "label": node_label(node, token),
                "token": visible(token),
                "activation": node.activation,
                "total effect": signed(node.effect),
                "influence": node.influence,
            }
        )
    title = Markup("<h3><code>{}</code> = {}</h3>").format(legible(graph.metric, 120), show(graph.metric_value))
    words = Markup("<p>{}</p>").format(f"{counts}{'; ' if scores else ''}{scores}")
    told = f"{graph.metric}{graph.token_ids}{len(graph.nodes)}{len(graph.weight)}"
    prefix = f"g{hashlib.sha256(told.encode()).hexdigest()[:8]}-"
    return _page([title, words, Markup(graph_svg(graph, prefix=prefix)), table_html(rows)])
