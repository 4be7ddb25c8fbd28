"""A report that an author puts together: notes made of results, graphs and words, in the author's order."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from workbench.core import CircuitGraph, Result, WorkbenchError
from workbench.figures import graph_svg, plot_svg

from .blocks import Block, Cell, HeaderBlock, NoteBlock
from .report import Asset, Report, add_picture, report_id

MOST_ROWS, MOST_COLUMNS, MOST_TOKENS = 40, 9, 2048


def compose(
    title: str,
    notes: Sequence[NoteBlock],
    assets: dict[str, Asset],
    *,
    author: str = "",
    finding: str = "",
    confidence: str = "",
    created: str = "",
    environment: Mapping[str, str] | None = None,
) -> Report:
    """Header and notes as a Report, for every rendering that a circuit report has."""
    header = HeaderBlock(
        title=title or "Report",
        author=author,
        created=created or datetime.now(UTC).isoformat(timespec="seconds"),
        tool_version=version("mech-workbench"),
        finding=finding,
        confidence=confidence,
        partial=any(note.partial for note in notes),
    )
    blocks: list[Block] = [header, *notes]
    blocks[0] = header.model_copy(update={"report_id": report_id(tuple(blocks))})
    used = {note.picture for note in notes}
    kept = {sha: asset for sha, asset in assets.items() if sha in used}
    return Report(blocks=tuple(blocks), assets=kept, environment=dict(environment or {}))


def note_of_result(
    result: Result, title: str, assets: dict[str, Asset], *, figure: bool = True, table: str = "", strip: str = "",
    **words: Any,
) -> NoteBlock:  # fmt: skip
    """A Result as a note: its figure as a picture, one table (or its numbers), what it says of itself.

    Args:
        table: a table's name; empty: the numbers.
        strip: a column of the table `tokens`, whose column `token` is then shown as a strip coloured by it.
        words: further fields of the note, such as `text`, `address` and `python`.
    """
    picture = ""
    if figure:
        drawn = _drawn(result, title)
        picture = add_picture(assets, f"{_plain_name(result.kind)}-{result.id}", drawn) if drawn else ""
    records = result.tables.get(table, []) if table else []
    if not table and result.scalars:
        records = [{"number": name, "value": value} for name, value in result.scalars.items()]
    columns, rows = _cells(records)
    tokens, values = _strip(result, strip) if strip else ((), ())
    told = (f"Colour of the tokens: {strip}.",) if tokens else ()
    return NoteBlock(
        title=title, picture=picture, columns=columns, rows=rows, left_out=max(0, len(records) - len(rows)),
        tokens=tokens, values=values, notes=(*told, *result.notes), partial=result.partial, source=result.id, **words,
    )  # fmt: skip


def note_of_graph(
    graph: CircuitGraph, title: str, assets: dict[str, Asset], labels: Mapping[str, str] | None = None, **words: Any
) -> NoteBlock:
    """A graph as a note: the picture of its strongest nodes, its tokens, its scores."""
    picture = add_picture(assets, f"graph-{graph.manifest.content_hash[:12] or 'new'}", graph_svg(graph, labels=labels))
    rows: list[tuple[Cell, ...]] = [("nodes", float(len(graph.nodes))), ("edges", float(len(graph.weight)))]
    rows += [(graph.metric, graph.metric_value), *((name, _cell(value)) for name, value in graph.scores.items())]
    return NoteBlock(
        title=title, picture=picture, tokens=graph.tokens, columns=("score", "value"), rows=tuple(rows),
        partial=graph.manifest.partial, source=graph.manifest.content_hash, **words,
    )  # fmt: skip


def note_of_environment(versions: Mapping[str, str]) -> NoteBlock:
    """What the numbers were made with."""
    return NoteBlock(title="Environment", columns=("what", "version"), rows=tuple(sorted(versions.items())))


def _strip(result: Result, column: str) -> tuple[tuple[str, ...], tuple[float | None, ...]]:
    """Tokens and their numbers, as many as a strip holds; nothing where the Result has no such column."""
    found = [row for row in result.tables.get("tokens", ()) if "token" in row and column in row][:MOST_TOKENS]
    cells = [_cell(row[column]) for row in found]
    numbers = tuple(cell if isinstance(cell, float) else None for cell in cells)
    return tuple(str(row["token"]) for row in found), numbers


def _drawn(result: Result, title: str) -> str:
    """The Result's figure as a picture, empty where it has none."""
    try:
        return plot_svg(result.fig(), f"r{result.id[:8]}", title)
    except (WorkbenchError, KeyError):
        return ""


def _cells(records: Sequence[Mapping[str, Any]]) -> tuple[tuple[str, ...], tuple[tuple[Cell, ...], ...]]:
    flat = [c for c in (records[0] if records else {}) if not isinstance(records[0][c], list | dict | tuple)]
    columns = tuple(flat[:MOST_COLUMNS])
    return columns, tuple(tuple(_cell(row.get(name)) for name in columns) for row in records[:MOST_ROWS])


def _cell(value: Any) -> Cell:
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int | float):
        return float(value) if value == value and abs(value) != float("inf") else None
    return str(value)[:400]


def _plain_name(text: str) -> str:
    return "".join(c if c.isascii() and c.isalnum() else "-" for c in text.lower()).strip("-") or "result"
