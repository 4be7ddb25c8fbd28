"""The node table: what each drawn node is, writes, fires on, and how its removal was measured."""

from collections import defaultdict
from typing import Any

from workbench.core import CircuitGraph, Result
from workbench.figures import Drawing, node_label

from .blocks import Checked, Context, NodeRow, NodesBlock, ValidationBlock
from .config import ReportConfig


def _by_unit(result: Result | None, table: str) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in result.to_json()["tables"].get(table, []) if result else []:
        found[str(row["unit"])].append(row)
    return found


def _pairs(rows: list[dict[str, Any]], key: str, most: int = 8) -> tuple[tuple[str, float], ...]:
    return tuple((str(token), float(value)) for token, value in (rows[0].get(key, []) if rows else [])[:most])


def short_labels(graph: CircuitGraph, effects: Result | None) -> dict[str, str]:
    """Node id -> the tokens that a feature promotes most, for features without a label of their own."""
    rows = _by_unit(effects, "unit_effects")
    found = {}
    for node in graph.nodes:
        promoted = _pairs(rows.get(str(node.unit), []), "promoted", 3) if node.unit and not node.label else ()
        if promoted:
            found[node.id] = " ".join(token.strip() or "·" for token, _ in promoted)
    return found


def nodes_block(
    graph: CircuitGraph,
    drawing: Drawing,
    validated: ValidationBlock | None,
    contexts: Result | None,
    effects: Result | None,
    config: ReportConfig,
) -> NodesBlock:
    """Rows for the drawn nodes, by rank."""
    windows, written, told = (
        _by_unit(contexts, "contexts"),
        _by_unit(effects, "unit_effects"),
        _by_unit(contexts, "units"),
    )
    checked: dict[str, Checked] = {}
    for single in validated.singles if validated else ():
        if single.set == "trained":
            checked.setdefault(single.node, single.checked)
    labels, rows = short_labels(graph, effects), []
    for place in sorted(drawing.nodes, key=lambda n: n.rank):
        node, unit = place.node, str(place.node.unit or "")
        token = graph.tokens[node.position]
        unit_told = (told.get(unit) or [{}])[0]
        label, source = unit_told.get("label") or "", unit_told.get("label_source") or ""
        if not label:
            label = node_label(node, token, labels)
            source = "top promoted tokens" if node.id in labels else ""
        shown = windows.get(unit, []) if unit and place.rank <= config.context_nodes else []
        shown = sorted(shown, key=lambda row: row["rank"])[: config.max_contexts]
        rows.append(
            NodeRow(
                rank=place.rank,
                id=node.id,
                kind=node.kind,
                unit=unit,
                label=label,
                label_source=source,
                layer=node.layer,
                position=node.position,
                token=token,
                activation=node.activation,
                influence=node.influence,
                effect=node.effect,
                density=unit_told.get("density"),
                promoted=_pairs(written.get(unit, []), "promoted"),
                suppressed=_pairs(written.get(unit, []), "suppressed"),
                contexts=tuple(_context(row) for row in shown),
                checked=checked.get(node.id),
            )
        )
    params = contexts.params if contexts else {}
    return NodesBlock(
        nodes=tuple(rows),
        contexts_from=str(params.get("text", "")),
        licence=str(params.get("licence", "")),
        licence_url=str(params.get("licence_url", "")),
        notes=(*(contexts.notes if contexts else ()), *(effects.notes if effects else ())),
    )


def _context(row: dict[str, Any], around: int = 12) -> Context:
    """A window of at most `around` tokens on each side of the peak."""
    peak = int(row["peak"])
    first = max(0, peak - around)
    kept = slice(first, peak + around + 1)
    return Context(
        rank=row["rank"],
        activation=row["activation"],
        document=str(row["document"]),
        tokens=tuple(row["tokens"][kept]),
        values=tuple(row["values"][kept]),
        peak=peak - first,
        licence=str(row.get("licence") or ""),
    )
