"""The validation and prompts blocks: predictions beside measurements, each with its verdict, failures kept."""

import re
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from workbench.core import CircuitGraph, Result
from workbench.figures import (
    GroupPoint,
    baseline,
    correlation,
    group_curve_svg,
    group_points,
    legible,
    single_scatter_svg,
)

from .blocks import (
    Agreement,
    Checked,
    ExactCheck,
    GroupAblation,
    PromptRow,
    PromptsBlock,
    SingleAblation,
    SizeRow,
    ValidationBlock,
)
from .config import ReportConfig
from .report import Asset, add_picture


@runtime_checkable
class Tested(Protocol):
    """A prompt with its graph and validation."""

    @property
    def graph(self) -> CircuitGraph: ...
    @property
    def validation(self) -> Result: ...
    @property
    def note(self) -> str: ...


SPECIAL = re.compile(r"<\|?[^<>\s]{1,24}>")
GROUP_FLOOR, SINGLE_FLOOR = 0.01, 0.001


def agrees(predicted: float | None, measured: float | None, tolerance: float, floor: float = 0.0) -> bool | None:
    """True where the measured change lies within `tolerance` of the predicted one.

    False where the measurement is no number: the run diverged. None where one is missing, and where both are below
    `floor`: that nothing happens where nothing is predicted is no success.
    """
    if predicted is None or measured is None or predicted != predicted:
        return None
    if measured != measured:
        return False
    if max(abs(predicted), abs(measured)) < floor:
        return None
    return abs(measured - predicted) <= tolerance * abs(predicted)


def _number(value: Any) -> float | None:
    return float(value) if value is not None and value - value == 0 else None


def validation_block(
    graph: CircuitGraph,
    validation: Result | None,
    sum_check: Result | None,
    config: ReportConfig,
    assets: dict[str, Asset],
) -> ValidationBlock | None:
    """Everything that was tested on this prompt; None when nothing was."""
    exact = _exact(validation, sum_check, config.exact_tolerance)
    if validation is None and not exact:
        return None
    start = _start(graph, validation)
    groups = [
        _group(point, start, config.group_tolerance) for point in (group_points(validation) if validation else [])
    ]
    singles = [_single(row, start, config) for row in (validation.tables.get("single", []) if validation else [])]
    rule = (
        f"A group passes where the measured change is within {100 * config.group_tolerance:.3g} % of the predicted "
        f"one, a single feature where it is within {100 * config.single_tolerance:.3g} %. "
        "Predicted: the linear total effects of what is removed. Next to nothing (below "
        f"{100 * GROUP_FLOOR:g} % of the metric for a group, {100 * SINGLE_FLOOR:g} % for a feature) gets no verdict, "
        "nor do random features."
    )
    pictures = {}
    if validation is not None and groups:
        pictures["group_picture"] = add_picture(assets, "group-ablations", group_curve_svg(validation, graph.metric))
    if validation is not None and singles:
        pictures["single_picture"] = add_picture(
            assets, "single-ablations", single_scatter_svg(validation, graph.metric)
        )
    return ValidationBlock(
        metric=graph.metric,
        baseline=start,
        rule=rule,
        groups=tuple(groups),
        singles=tuple(singles),
        agreement=tuple(_bands(validation) or _agreement(singles)),
        sizes=_sizes(validation),
        exact=tuple(exact),
        notes=validation.notes if validation else (),
        params=validation.to_json()["params"] if validation else {},
        **pictures,
    )


def _start(graph: CircuitGraph, validation: Result | None) -> float:
    found = baseline(validation) if validation else float("nan")
    return found if found == found else graph.metric_value


def _group(point: GroupPoint, start: float, tolerance: float) -> GroupAblation:
    verdicts = {}
    if point.set != "random":
        change = point.predicted - start
        floor = GROUP_FLOOR * abs(start)
        verdicts["passed_frozen"] = agrees(change, point.frozen - start, tolerance, floor)
        verdicts["passed_free"] = agrees(change, point.free - start, tolerance, floor)
    many = point.seeds > 1
    return GroupAblation(
        set=point.set,
        n=point.n,
        predicted=_number(point.predicted),
        frozen=_number(point.frozen),
        free=_number(point.free),
        sd_frozen=point.sd["frozen"] if many else None,
        sd_free=point.sd["free"] if many else None,
        seeds=point.seeds,
        **verdicts,
    )


def _single(row: dict[str, Any], start: float, config: ReportConfig) -> SingleAblation:
    name, floor = str(row.get("set", "trained")), SINGLE_FLOOR * abs(start)
    predicted, frozen, free = (_number(row.get(key)) for key in ("predicted", "frozen", "free"))
    judged = name != "random"
    checked = Checked(
        predicted=predicted,
        frozen=frozen,
        free=free,
        passed_frozen=agrees(predicted, frozen, config.single_tolerance, floor) if judged else None,
        passed_free=agrees(predicted, free, config.single_tolerance, floor) if judged else None,
    )
    place = {"layer": row.get("layer"), "position": row.get("position")}
    return SingleAblation(set=name, node=str(row.get("node", "")), checked=checked, **place)


def _agreement(singles: Sequence[SingleAblation]) -> list[Agreement]:
    """r, slope through the origin and sign agreement of every set, from its rows."""
    found = []
    for name in dict.fromkeys(single.set for single in singles):
        rows = [single.checked for single in singles if single.set == name]
        values: dict[str, float | None] = {}
        for measure in ("frozen", "free"):
            pairs = [(r.predicted, getattr(r, measure)) for r in rows if r.predicted is not None]
            pairs = [(x, y) for x, y in pairs if y is not None]
            square = sum(x * x for x, _ in pairs)
            values[f"r_{measure}"] = _number(correlation(pairs))
            values[f"slope_{measure}"] = sum(x * y for x, y in pairs) / square if square else None
            values[f"sign_{measure}"] = sum(x * y > 0 for x, y in pairs) / len(pairs) if pairs else None
        found.append(Agreement(set=name, n=len(rows), values=values))
    return found


def _sizes(validation: Result | None) -> tuple[SizeRow, ...]:
    """How much single removals move the metric, set by set, with the directions of the same norm as a control."""
    tables = validation.tables if validation else {}
    rows = [*tables.get("single", []), *tables.get("directions", [])]
    found = []
    for name in dict.fromkeys(row.get("set", "trained") for row in rows):
        mine = [row for row in rows if row.get("set", "trained") == name]
        means = {}
        for key in ("predicted", "frozen", "free"):
            known = [abs(value) for row in mine if (value := _number(row.get(key))) is not None]
            means[key] = sum(known) / len(known) if known else None
        found.append(SizeRow(set=str(name), n=len(mine), **means))
    return tuple(found)


def _bands(validation: Result | None) -> list[Agreement]:
    found = []
    for row in validation.tables.get("bands", []) if validation else []:
        known = {"set", "band", "n"}
        values = {k: _number(v) for k, v in row.items() if k not in known and _is_number(v)}
        found.append(
            Agreement(
                set=str(row.get("set", "trained")), band=str(row.get("band", "")), n=int(row.get("n", 0)), values=values
            )
        )
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


SUMS = {
    "worst_ratio": ("sum rule", "incoming edges + error + bias against the pre-activation, feature by feature"),
    "source_effects_gap": ("effects add up", "total effects of tokens, errors and biases against the metric"),
    "kept_edges_gap": ("edges pulled anew", "edges in the graph against the same edges computed again"),
}
REMOVALS = {
    "direct": "removals with patterns, norm scales and MLP outputs held",
    "total": "removals with patterns, norm scales, gates and errors held",
}


def _exact(validation: Result | None, sum_check: Result | None, tolerance: float) -> list[ExactCheck]:
    """The checks where theory says that two numbers must agree."""
    found = []
    for mode, note in REMOVALS.items():
        rows = [row for row in (validation.tables.get("exact", []) if validation else []) if row.get("mode") == mode]
        if rows:
            found.append(_check(f"{mode} effect", max(row["ratio"] for row in rows), tolerance, note, len(rows)))
    for key, (name, note) in SUMS.items():
        if sum_check is not None and key in sum_check.scalars:
            number = len(sum_check.tables.get("nodes", [])) if key == "worst_ratio" else None
            found.append(_check(name, sum_check.scalars[key], tolerance, note, number))
    return found


def _check(name: str, largest: float, tolerance: float, note: str, n: int | None) -> ExactCheck:
    # A deviation that is not a number is no agreement.
    passed = bool(largest <= tolerance)
    return ExactCheck(name=name, n=n, largest=_number(largest), tolerance=tolerance, passed=passed, note=note)


def prompt_words(graph: CircuitGraph) -> str:
    """The prompt without the special tokens around it, for headings."""
    return legible("".join(token for token in graph.tokens if not SPECIAL.fullmatch(token)), 300).strip()


def prompts_block(studies: Sequence[Tested], config: ReportConfig) -> PromptsBlock | None:
    """Every prompt at its smallest group size; None for a single prompt."""
    rows = [_prompt(study, config) for study in studies]
    return PromptsBlock(rows=tuple(rows)) if len(rows) > 1 else None


def _prompt(study: Tested, config: ReportConfig) -> PromptRow:
    points, start = group_points(study.validation), _start(study.graph, study.validation)
    sizes = sorted({point.n for point in points if point.set == "trained"})
    at = {point.set: point for point in points if sizes and point.n == sizes[0]}
    words = prompt_words(study.graph)
    floor = GROUP_FLOOR * abs(start)
    told = PromptRow(
        prompt=words,
        metric=study.graph.metric,
        baseline=_number(start),
        note=study.note,
        token_ids=study.graph.token_ids,
        target=study.graph.manifest.config.get("target", {}),
    )
    if "trained" not in at:
        return told
    one = at["trained"]
    beats = None
    if "untrained" in at and max(abs(one.frozen - start), abs(at["untrained"].frozen - start)) >= floor:
        beats = abs(one.frozen - start) >= 2 * abs(at["untrained"].frozen - start)
    found = {
        "n": one.n,
        "predicted": _number(one.predicted),
        "frozen": _number(one.frozen),
        "free": _number(one.free),
        "passed": agrees(one.predicted - start, one.frozen - start, config.group_tolerance, floor),
        "beats_untrained": beats,
    }
    others = {f"{name}_frozen": _number(at[name].frozen) for name in ("untrained", "random") if name in at}
    return told.model_copy(update={**found, **others})
