"""circuit_report: from a graph and its Results to a Report. It computes nothing that they do not hold.

Results read, every one optional:

- `validation` (kind `validation`): see `workbench.figures.measurements`.
- `evaluation` (kind `evaluation`): scalars (fvu_mean, ce_model, ...), tables `layers` and `splice`.
- `contexts` (kind `contexts`): table `contexts`, one row per text window: `unit` (str of a Unit), `rank` (from 0),
  `activation` (at the peak), `document` (name), `tokens` (list of str), `values` (list of float, one a token),
  `peak` (index into tokens), optionally `licence`; table `units` (unit, density, label, label_source), optional;
  params `text`, `licence`, `licence_url`.
- `effects` (kind `unit_effects`): table `unit_effects`: `unit`, `promoted` and `suppressed`, lists of
  [token, value], strongest first: the decoder row read through the unembedding.
- `next_tokens` (kind `next_tokens`): table `next_tokens`: token, token_id, probability, logit.
- `sum_check` (kind `sum_check`): scalars `worst_ratio`, `source_effects_gap`, `kept_edges_gap`; table `nodes`.
"""

import importlib.metadata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from workbench.core import CircuitGraph, Manifest, Result
from workbench.figures import draw, fvu_by_layer_svg, lay_out, layer_rows, show

from .blocks import (
    AppendixBlock,
    BehaviourBlock,
    Block,
    Counts,
    DrawnEdge,
    EvaluationBlock,
    GraphBlock,
    GroupAblation,
    GroupEdge,
    GroupsBlock,
    HeaderBlock,
    Headline,
    LimitsBlock,
    NextToken,
    ScoreRow,
    ValidationBlock,
)
from .config import Licence, ReportConfig
from .limits import find_limits
from .measured import GROUP_FLOOR, prompt_words, prompts_block, validation_block
from .nodes import nodes_block, short_labels
from .provenance import environment, reproduce_block
from .report import Asset, Report, add_picture, report_id


@dataclass(frozen=True)
class Study:
    """Another prompt of the same study: its graph and its validation."""

    graph: CircuitGraph
    validation: Result
    note: str = ""


def circuit_report(
    graph: CircuitGraph,
    validation: Result | None = None,
    evaluation: Result | None = None,
    contexts: Result | None = None,
    effects: Result | None = None,
    next_tokens: Result | None = None,
    sum_check: Result | None = None,
    *,
    full: CircuitGraph | Counts | None = None,
    controls: Mapping[str, Mapping[str, float]] | None = None,
    others: Sequence[Study] = (),
    dictionaries: Manifest | None = None,
    document: Mapping[str, Any] | None = None,
    group_edges: Sequence[GroupEdge] = (),
    config: ReportConfig | None = None,
) -> Report:
    """The report of one graph.

    Args:
        graph: the pruned graph. full: the graph before pruning, or its counts.
        controls: name (`affine only`, `shuffled decoder`, `untrained`) -> graph scores of that control.
        others: further prompts; each appears with its group ablations.
        dictionaries: the manifest of the dictionary set.
        document: the graph as circuit-tracer's JSON, kept in report.json.
        group_edges: what the groups of `config` hand to each other.
    """
    config, assets = config or ReportConfig(), {}
    validated = validation_block(graph, validation, sum_check, config, assets)
    labels = short_labels(graph, effects)
    drawing = lay_out(graph, config.max_nodes, labels=labels)
    nodes = nodes_block(graph, drawing, validated, contexts, effects, config)
    pictured = GraphBlock(
        metric=graph.metric,
        picture=add_picture(assets, "circuit-graph", draw(drawing, graph.metric, link="node-")),
        counts=_counts(graph, full, len(drawing.nodes), len(drawing.edges), [n.node.kind for n in drawing.nodes]),
        scores=_scores(graph, controls or {}),
        drawn_nodes=tuple(n.node.id for n in sorted(drawing.nodes, key=lambda n: n.rank)),
        drawn_edges=tuple(
            DrawnEdge(
                source=drawing.nodes[e.source].node.id,
                target=drawing.nodes[e.target].node.id,
                weight=e.weight,
                share=e.share,
            )
            for e in drawing.edges
        ),
        document=dict(document or {}),
    )
    prompts = prompts_block([Study(graph, validation), *others] if validation and others else [], config)
    evaluated = _evaluation(evaluation, assets)
    results = [r for r in (validation, evaluation, contexts, effects, next_tokens, sum_check) if r is not None]
    partial = graph.manifest.partial or any(result.partial for result in results)
    limits = LimitsBlock(
        limits=find_limits(graph, pictured, validated, prompts, evaluated, results), author_notes=config.notes
    )
    parts: list[Block | None] = [
        _header(graph, validated, config, partial),
        _behaviour(full if isinstance(full, CircuitGraph) else graph, graph, next_tokens),
        validated,
        prompts,
        pictured,
        nodes,
        GroupsBlock(groups=config.groups, edges=tuple(group_edges)) if config.groups else None,
        evaluated,
        limits,
        reproduce_block(graph, validation, evaluation, sum_check, dictionaries, config),
        _appendix(graph, validation, contexts, sum_check, config),
    ]
    return _finish([part for part in parts if part is not None], assets, graph)


def _finish(blocks: list[Block], assets: dict[str, Asset], graph: CircuitGraph) -> Report:
    header = blocks[0]
    assert isinstance(header, HeaderBlock)
    named = header.model_copy(update={"report_id": report_id(tuple(blocks))})
    ordered = dict(sorted(assets.items()))
    return Report(blocks=(named, *blocks[1:]), assets=ordered, environment=environment(graph))


def _header(graph: CircuitGraph, validated: ValidationBlock | None, config: ReportConfig, partial: bool) -> HeaderBlock:
    try:
        version = importlib.metadata.version("mech-workbench")
    except importlib.metadata.PackageNotFoundError:
        version = "unknown"
    return HeaderBlock(
        title=config.title or f"“{prompt_words(graph)}”",
        author=config.author,
        created=config.created or datetime.now(UTC).isoformat(timespec="seconds"),
        tool_version=version,
        finding=config.finding or _finding(graph, validated),
        confidence=config.confidence,
        headlines=_headlines(graph, validated),
        partial=partial,
    )


def _smallest(validated: ValidationBlock | None) -> dict[str, GroupAblation]:
    """The group ablations of the smallest size, by set."""
    if validated is None or not validated.groups:
        return {}
    size = min(row.n for row in validated.groups)
    return {row.set: row for row in validated.groups if row.n == size}


def _finding(graph: CircuitGraph, validated: ValidationBlock | None) -> str:
    rows = _smallest(validated)
    start = f"The model's {graph.metric} on this prompt is {show(graph.metric_value)}."
    if "trained" not in rows:
        return f"{start} The graph has not been tested by intervention: read it as a hypothesis."
    row = rows["trained"]
    changes = [abs(v - graph.metric_value) for v in (row.predicted, row.frozen, row.free) if v is not None]
    if max(changes, default=0.0) < GROUP_FLOOR * abs(graph.metric_value):
        return f"{start} Its features carry next to none of it: removing {_features(row.n)} changes nothing."
    removed = f"{_features(row.n)} that support{'s' if row.n == 1 else ''} it most"
    text = (
        f"{start} Removing the {removed} takes it to {show(row.frozen)} with attention frozen and to {show(row.free)} "
        f"when everything re-runs; the graph predicted {show(row.predicted)}."
    )
    others = {"untrained": "as many untrained features", "random": "as many random active features"}
    parts = [f"{words} leaves it at {show(rows[name].frozen)}" for name, words in others.items() if name in rows]
    return f"{text} With attention frozen, removing {' and '.join(parts)}." if parts else text


def _features(n: int) -> str:
    return f"{n} feature" if n == 1 else f"{n} features"


def _headlines(graph: CircuitGraph, validated: ValidationBlock | None) -> tuple[Headline, ...]:
    rows = _smallest(validated)
    found = [Headline(name=graph.metric, value=graph.metric_value, note="the model, nothing removed")]
    if row := rows.get("trained"):
        taken = f"{_features(row.n)} removed"
        found += [
            Headline(name="predicted", value=row.predicted, note=taken),
            Headline(name="measured, attention frozen", value=row.frozen, note=taken),
            Headline(name="measured, everything free", value=row.free, note=taken),
        ]
    if row := rows.get("untrained"):
        found.append(Headline(name="untrained features, frozen", value=row.frozen, note=f"{row.n} removed"))
    if row := rows.get("random"):
        found.append(Headline(name="random features, frozen", value=row.frozen, note=f"{row.n} removed, mean of draws"))
    return tuple(found)


def _behaviour(source: CircuitGraph, graph: CircuitGraph, next_tokens: Result | None) -> BehaviourBlock:
    effects: list[float | None] = [None] * len(graph.tokens)
    for i in source.find("embed"):
        node = source.nodes[i]
        effects[node.position] = (effects[node.position] or 0.0) + node.effect
    rows = next_tokens.tables.get("next_tokens", []) if next_tokens else []
    return BehaviourBlock(
        tokens=graph.tokens,
        effects=tuple(effects),
        metric=graph.metric,
        value=graph.metric_value,
        next_tokens=tuple(
            NextToken(
                token=str(row["token"]),
                token_id=row.get("token_id"),
                probability=row.get("probability"),
                logit=row.get("logit"),
            )
            for row in rows[:10]
        ),
    )


def _count(kinds: Sequence[str]) -> dict[str, int]:
    return {kind: list(kinds).count(kind) for kind in sorted(set(kinds))}


def _counts(
    graph: CircuitGraph, full: CircuitGraph | Counts | None, nodes: int, edges: int, drawn: Sequence[str]
) -> tuple[Counts, ...]:
    own = Counts(stage="pruned", nodes=_count([n.kind for n in graph.nodes]), edges=len(graph.weight))
    if isinstance(full, CircuitGraph):
        full = Counts(stage="full", nodes=_count([n.kind for n in full.nodes]), edges=len(full.weight))
    whole = full or _before_pruning(graph, own)
    return (*([whole] if whole else []), own, Counts(stage="drawn", nodes=_count(drawn), edges=edges))


def _before_pruning(graph: CircuitGraph, own: Counts) -> Counts | None:
    """Counts of the whole graph as pruning recorded them in the scores."""
    removed, features = graph.scores.get("pruned_nodes_removed"), graph.scores.get("n_features")
    if removed is None or features is None:
        return None
    nodes = {**own.nodes, "embed": len(graph.tokens), "feature": int(features)}
    nodes["error"] = len(graph.nodes) + int(removed) - sum(n for kind, n in nodes.items() if kind != "error")
    edges = len(graph.weight) + int(graph.scores.get("pruned_edges_removed", 0))
    return Counts(stage="full", nodes=dict(sorted(nodes.items())), edges=edges)


def _scores(graph: CircuitGraph, controls: Mapping[str, Mapping[str, float]]) -> tuple[ScoreRow, ...]:
    own = [ScoreRow(set="this graph, before pruning", scores=_finite(graph.scores))] if graph.scores else []
    return (*own, *(ScoreRow(set=name, scores=_finite(scores)) for name, scores in controls.items()))


def _finite(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: float(v) if v is not None and v - v == 0 else None for name, v in values.items()}


def _evaluation(evaluation: Result | None, assets: dict[str, Asset]) -> EvaluationBlock | None:
    if evaluation is None:
        return None
    data = evaluation.to_json()
    rows = layer_rows(evaluation)
    drawn = fvu_by_layer_svg(evaluation) if len(rows) > 1 else ""
    picture = add_picture(assets, "fvu-by-layer", drawn) if drawn else ""
    return EvaluationBlock(
        scalars=data["scalars"],
        layers=tuple(data["tables"].get("layers", [])),
        splice=tuple(data["tables"].get("splice", [])),
        picture=picture,
        notes=evaluation.notes,
    )


def _appendix(
    graph: CircuitGraph,
    validation: Result | None,
    contexts: Result | None,
    sum_check: Result | None,
    config: ReportConfig,
) -> AppendixBlock:
    licences = list(config.licences)
    named = {licence.of for licence in licences}
    text = graph.manifest.text
    if contexts and "licence" in contexts.params and "text" not in named:
        params = contexts.params
        name, url = str(params.get("text", "text")), str(params.get("licence_url", ""))
        licences.append(Licence(of="text", name=name, licence=str(params["licence"]), url=url))
    elif text and "text" not in named:
        licences.append(Licence(of="text", name=text.id, licence=text.licence))
    known = ("groups", "single", "bands")
    tables = dict(validation.to_json()["tables"]) if validation else {}
    rest = {name: tuple(rows) for name, rows in tables.items() if rows and name not in known}
    if sum_check and sum_check.tables.get("nodes"):
        rest["sum_check"] = tuple(sum_check.to_json()["tables"]["nodes"])
    return AppendixBlock(licences=tuple(licences), tables=rest)
