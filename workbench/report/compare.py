"""Two reports of one study, number by number: what moved, and by how much."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from workbench.core import Result

from .config import AgreeConfig
from .report import Report

RESIDUALS = frozenset(("ratio", "relative", "largest", "difference", "source_effects_gap", "worst_ratio"))
"""Rounding errors of sums that are zero in theory: compared on the scale of 1, not of their own size."""
PASSED_OVER = frozenset(("created", "report_id", "tool_version", "picture", "group_picture", "single_picture"))
KEYS = ("id", "node", "of", "set", "prompt", "name", "stage", "title", "source", "dictionary", "variant", "token")
KINDS = ("header", "behaviour", "validation", "prompts", "graph", "nodes", "groups", "evaluation", "appendix")


def compare_reports(before: Report, after: Report, config: AgreeConfig | None = None) -> Result:
    """Every number, verdict and text of two reports (kind `report_comparison`).

    A number agrees where |after - before| <= tolerance x the largest |number| of its column (the same field over
    all rows of its table) in the first report; rounding residuals are measured on the scale of 1. Verdicts, counts
    of nodes and texts must be equal. What only one of them holds is listed with nothing on the other side.

    Tables: `moved` (block, number, before, after, difference, share), `blocks` (block, numbers, texts, moved).
    """
    config = config or AgreeConfig()
    moved, blocks, largest = [], [], 0.0
    for kind in KINDS:
        one, two = _flat(before, kind), _flat(after, kind)
        scales = _scales(one)
        counts = {"numbers": 0, "texts": 0, "moved": 0}
        for path in [*one, *(path for path in two if path not in one)]:
            old, new = one.get(path, (None, None))[1], two.get(path, (None, None))[1]
            column = (one.get(path) or two[path])[0]
            share = _share(old, new, scales.get(column, 0.0), column)
            counts["numbers" if _is_number(old) else "texts"] += 1
            largest = max(largest, share if _is_number(old) and _is_number(new) else 0.0)
            if share > config.tolerance:
                counts["moved"] += 1
                difference = float(new) - float(old) if _is_number(old) and _is_number(new) else None  # pyright: ignore[reportArgumentType]
                told = {"before": old, "after": new, "difference": difference, "share": share}
                moved.append({"block": kind, "number": path, **told})
        if one or two:
            blocks.append({"block": kind, **counts})
    return Result(
        kind="report_comparison",
        scalars={
            "numbers": float(sum(row["numbers"] for row in blocks)),
            "texts": float(sum(row["texts"] for row in blocks)),
            "moved": float(len(moved)),
            "largest_share": largest,
            "tolerance": config.tolerance,
        },
        tables={"moved": moved, "blocks": blocks},
        params=config.model_dump(),
        notes=_environments(before, after),
    )


def _environments(before: Report, after: Report) -> tuple[str, ...]:
    changed = [
        f"{name}: {before.environment.get(name, 'absent')} then, {after.environment.get(name, 'absent')} now"
        for name in sorted({*before.environment, *after.environment})
        if before.environment.get(name) != after.environment.get(name)
    ]
    return ("share = |after - before| over the largest |number| of the column", *changed)


def _flat(report: Report, kind: str) -> dict[str, tuple[str, Any]]:
    """path -> (column, value) of every leaf of a block; rows are named by what they are, not by their place."""
    block = report.block(kind)
    if block is None:
        return {}
    data = block.model_dump(mode="json", exclude={"document", "params", "notes", "drawn_edges", "contexts_from"})
    return {path: (column, value) for path, column, value in _leaves(data, "", "")}


def _leaves(value: Any, path: str, column: str) -> Iterator[tuple[str, str, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            if key not in PASSED_OVER:
                yield from _leaves(item, f"{path}.{key}".strip("."), f"{column}.{key}".strip("."))
    elif isinstance(value, list):
        seen: dict[str, int] = defaultdict(int)
        for item in value:
            name = _name(item)
            seen[name] += 1
            mark = f"{name}#{seen[name]}" if seen[name] > 1 or not name else name
            yield from _leaves(item, f"{path}[{mark}]", f"{column}[]")
    else:
        yield path, column, value


def _name(item: Any) -> str:
    if not isinstance(item, dict):
        return ""
    parts = [str(item[key]) for key in KEYS if item.get(key) not in (None, "")]
    return " ".join(parts + [f"{key} {item[key]}" for key in ("mode", "n", "band", "layer", "rank") if key in item])


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _scales(flat: dict[str, tuple[str, Any]]) -> dict[str, float]:
    scales: dict[str, float] = defaultdict(float)
    for column, value in flat.values():
        if _is_number(value):
            scales[column] = max(scales[column], abs(value))
    return scales


def _share(old: Any, new: Any, scale: float, column: str) -> float:
    if not _is_number(old) or not _is_number(new):
        return 0.0 if old == new else float("inf")
    scale = 1.0 if column.rsplit(".", 1)[-1] in RESIDUALS else scale
    return abs(new - old) / scale if scale else float(old != new)
