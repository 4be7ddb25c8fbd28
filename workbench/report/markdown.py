"""Markdown: the report's findings and tables for a repository, pictures beside it in `assets/`."""

from collections.abc import Iterable, Sequence

from workbench.figures import SET_NAMES, legible, show, signed, visible

from .blocks import (
    BehaviourBlock,
    EvaluationBlock,
    GraphBlock,
    GroupAblation,
    GroupsBlock,
    LimitsBlock,
    NodesBlock,
    NoteBlock,
    PromptsBlock,
    ValidationBlock,
)
from .html import group_score_names, score_names, words
from .report import Report

SPECIAL = str.maketrans({c: f"\\{c}" for c in "\\`*_{}[]<>()#+!|$~"})


def escaped(text: str) -> str:
    """Text in which Markdown and HTML see nothing but text, on one line."""
    return legible(text, 400).translate(SPECIAL)


def _code(token: str) -> str:
    return "`" + visible(token).replace("`", "ˋ").replace("|", "∣") + "`"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return [*lines, *(f"| {' | '.join(row)} |" for row in rows), ""]


def _mark(passed: bool | None) -> str:
    return "" if passed is None else " ✓" if passed else " ✗"


def report_markdown(report: Report) -> str:
    """Header, behaviour, validation, graph, nodes, limits and how to reproduce it."""
    header, lines = report.block("header"), []
    if header:
        lines += [f"# {escaped(header.title)}", "", escaped(header.finding), ""]
        if header.confidence:
            lines += [f"Confidence: {escaped(header.confidence)}", ""]
    writers = {
        "behaviour": _behaviour,
        "validation": _validation,
        "prompts": _prompts,
        "graph": _graph,
        "nodes": _nodes,
        "groups": _groups,
        "evaluation": _evaluation,
        "limits": _limits,
        "note": _note,
    }
    for block in report.blocks:
        if block.kind in writers:
            lines += writers[block.kind](block, report)
    lines += _reproduce(report)
    if header:
        lines += [f"Report {header.report_id}, {header.created}, mech-workbench {header.tool_version}."]
    return "\n".join(lines) + "\n"


def _note(block: NoteBlock, report: Report) -> list[str]:
    lines = [f"## {escaped(block.title)}", ""]
    for part in filter(str.strip, block.text.split("\n\n")):
        lines += [escaped_long(part), ""]
    lines += _picture(report, block.picture, block.title)
    if block.tokens:
        values = block.values or [None] * len(block.tokens)
        pairs = zip(block.tokens, values, strict=True)
        lines += [" ".join(_code(t) if v is None else f"{_code(t)} ({show(v)})" for t, v in pairs), ""]
    if block.columns:
        lines += _table(
            [escaped(name) for name in block.columns], [[_cell(cell) for cell in row] for row in block.rows]
        )
    if block.left_out:
        lines += [f"{block.left_out} further rows are in the workspace.", ""]
    for note in block.notes:
        lines += [escaped_long(note), ""]
    return lines


def _cell(cell: object) -> str:
    if isinstance(cell, bool) or cell is None:
        return "–" if cell is None else "✓" if cell else "✗"
    return show(cell) if isinstance(cell, int | float) else escaped(str(cell))


def _picture(report: Report, sha: str, alt: str) -> list[str]:
    return [f"![{escaped(alt)}](assets/{report.assets[sha].name}.svg)", ""] if sha else []


def _behaviour(block: BehaviourBlock, report: Report) -> list[str]:
    effects = block.effects or [None] * len(block.tokens)
    pairs = [(_code(t), signed(e)) for t, e in zip(block.tokens, effects, strict=True) if e]
    lines = ["## Behaviour", "", f"{escaped(block.metric)}: {show(block.value)}", ""]
    lines += _table(["token", "total effect"], pairs)
    if block.next_tokens:
        lines += _table(
            ["next token", "probability"], [(_code(r.token), show(r.probability)) for r in block.next_tokens]
        )
    return lines


def _group_row(row: GroupAblation) -> tuple[str, ...]:
    name = escaped(SET_NAMES.get(row.set, row.set))
    measured = (show(row.frozen) + _mark(row.passed_frozen), show(row.free) + _mark(row.passed_free))
    return (name, str(row.n), show(row.predicted), *measured)


def _validation(block: ValidationBlock, report: Report) -> list[str]:
    lines = ["## Validation", "", escaped(block.rule), "", f"Nothing removed: {show(block.baseline)}", ""]
    lines += _picture(report, block.group_picture, "group ablations")
    if block.groups:
        lines += _table(["set", "n", "predicted", "frozen", "free"], map(_group_row, block.groups))
    lines += _picture(report, block.single_picture, "single ablations")
    if block.agreement:
        names = [n for n in ("r_frozen", "sign_frozen", "r_free", "sign_free") if n in block.agreement[0].values]
        rows = [(row.set, row.band, str(row.n), *(show(row.values.get(n)) for n in names)) for row in block.agreement]
        lines += _table(["set", "layers", "n", *map(escaped, names)], [tuple(map(escaped, row)) for row in rows])
    if block.sizes:
        rows = [
            (escaped(SET_NAMES.get(r.set, r.set)), *map(show, (r.n, r.predicted, r.frozen, r.free)))
            for r in block.sizes
        ]
        lines += _table(["one removal, mean size", "n", "predicted", "frozen", "free"], rows)
    if block.exact:
        rows = [(escaped(r.name), show(r.largest), show(r.tolerance) + _mark(r.passed)) for r in block.exact]
        lines += _table(["check", "largest deviation", "tolerance"], rows)
    return lines


def _prompts(block: PromptsBlock, report: Report) -> list[str]:
    head = ["prompt", "metric", "before", "n", "predicted", "frozen", "free", "untrained, frozen", "random, frozen"]
    rows = []
    for row in block.rows:
        values = (row.baseline, row.n, row.predicted, row.frozen, row.free, row.untrained_frozen, row.random_frozen)
        rows.append((escaped(row.prompt) + _mark(row.passed), escaped(row.metric), *map(show, values)))
    return ["## Other prompts", "", *_table(head, rows)]


def _graph(block: GraphBlock, report: Report) -> list[str]:
    lines = ["## Graph", "", *_picture(report, block.picture, f"circuit graph for {block.metric}")]
    counts = [(escaped(c.stage), show(sum(c.nodes.values())), show(c.edges)) for c in block.counts]
    lines += _table(["graph", "nodes", "edges"], counts)
    for title, names in (("scores", score_names(block.scores)), ("group effect", group_score_names(block.scores))):
        rows = [(escaped(row.set), *(show(row.scores.get(name)) for name in names)) for row in block.scores]
        lines += _table([title, *(escaped(words(name)) for name in names)], rows) if names else []
    return lines


def _nodes(block: NodesBlock, report: Report) -> list[str]:
    head = ["#", "label", "layer", "token", "activation", "total effect", "frozen", "free"]
    rows = []
    for node in block.nodes:
        checked = node.checked
        measured = ("", "")
        if checked is not None:
            measured = (
                show(checked.frozen) + _mark(checked.passed_frozen),
                show(checked.free) + _mark(checked.passed_free),
            )
        told = (str(node.rank), escaped(node.label), str(node.layer), _code(node.token), show(node.activation))
        rows.append((*told, show(node.effect), *measured))
    return ["## Nodes", "", *_table(head, rows)]


def _groups(block: GroupsBlock, report: Report) -> list[str]:
    lines = ["## Groups", "", *_mermaid(block)]
    rows = [(escaped(group.name), str(len(group.members)), escaped_long(group.rationale)) for group in block.groups]
    return lines + _table(["group", "members", "why"], rows)


def _mermaid(block: GroupsBlock) -> list[str]:
    """The supernode graph as GitHub draws it: groups and single nodes, joined by their shares of edge influence."""
    if not block.edges:
        return []
    names = list(dict.fromkeys(name for edge in block.edges for name in (edge.source, edge.target)))
    number = {name: place for place, name in enumerate(names)}
    lines = ["```mermaid", "flowchart BT", *(f'  n{i}["{_quoted(name)}"]' for name, i in number.items())]
    for edge in block.edges:
        arrow = "-->" if edge.weight > 0 else "-.->"
        share = f"{signed(100 * edge.weight, 2)} %"
        lines.append(f'  n{number[edge.source]} {arrow}|"{share}"| n{number[edge.target]}')
    return [*lines, "```", ""]


def _quoted(text: str) -> str:
    """Text in a Mermaid label, where everything that could be markup is an entity."""
    return "".join(c if c.isalnum() or c in " .,-" else f"#{ord(c)};" for c in legible(text, 60))


def _evaluation(block: EvaluationBlock, report: Report) -> list[str]:
    lines = ["## Dictionaries", "", *_picture(report, block.picture, "FVU by layer")]
    rows = [(escaped(name), show(value)) for name, value in block.scalars.items() if not name.startswith("kl_")]
    return lines + _table(["held-out text", "value"], rows)


def _limits(block: LimitsBlock, report: Report) -> list[str]:
    lines = [f"- **{escaped(limit.title)}.** {escaped_long(limit.text)}" for limit in block.limits]
    if block.author_notes:
        lines.append(f"- **From the author.** {escaped_long(block.author_notes)}")
    return ["## Limits", "", *lines, ""]


def escaped_long(text: str) -> str:
    """`escaped` without a cut."""
    return legible(text, 100_000).translate(SPECIAL)


def _reproduce(report: Report) -> list[str]:
    told = report.block("reproduce")
    if told is None:
        return []
    lines = ["## Reproduce", ""]
    for text in (told.command, told.python):
        if text:
            lines += [*(f"    {line}" for line in text.splitlines()), ""]
    rows = [("token ids", " ".join(map(str, told.token_ids)))]
    if told.model:
        rows.append(("model", f"{told.model.id}, {told.model.dtype}, weights {told.model.weight_hash}"))
    rows += [("dictionaries", f"{used.name} {used.content_hash}") for used in told.dictionaries]
    rows += [("graph", told.graph_hash)] if told.graph_hash else []
    rows += [("seeds", ", ".join(f"{k} {v}" for k, v in sorted(told.seeds.items())))] if told.seeds else []
    rows.append(("versions", ", ".join(f"{k} {v}" for k, v in sorted(told.versions.items()))))
    appendix = report.block("appendix")
    rows += [(f"licence of {row.of}", f"{row.name}: {row.licence}") for row in (appendix.licences if appendix else ())]
    return lines + _table(["", ""], [tuple(map(escaped, row)) for row in rows])
