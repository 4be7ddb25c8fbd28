"""A circuit study: trace a prompt, check the sums, test by intervention, gather contexts, write the report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from pydantic import Field

from workbench.circuits import (
    PruneConfig,
    SumConfig,
    Target,
    TraceConfig,
    ValidateConfig,
    check_sums,
    prune,
    trace,
    validate,
)
from workbench.core import CircuitGraph, Config, Interrupted, Progress, Result, Silent, TextError, Unit
from workbench.data import PromptPair
from workbench.dictionaries import DictionarySet
from workbench.exchange import graph_document
from workbench.features import FeatureScan, unit_effects
from workbench.models import HookedModel
from workbench.report import ReportConfig, Study, circuit_report, write_report
from workbench.workspace import Workspace

from .graphs import saved_groups


class StudyConfig(Config):
    """Settings of every step of a study."""

    trace: TraceConfig = Field(default_factory=TraceConfig)
    prune: PruneConfig = Field(default_factory=PruneConfig)
    validation: ValidateConfig = Field(default_factory=ValidateConfig)
    sums: SumConfig = Field(default_factory=SumConfig)
    examples: int = Field(default=4, ge=0, description="text windows per feature")
    seed: int = Field(default=0, ge=0, description="seed of the shuffled-decoder control")


@dataclass(frozen=True)
class Bench:
    """What the studies of one model share.

    `controls`: name -> DictionarySet traced for its scores only; `untrained` is also validated.
    """

    model: HookedModel
    dictionaries: DictionarySet
    untrained: DictionarySet | None = None
    controls: Mapping[str, DictionarySet] = field(default_factory=dict)
    scan: FeatureScan | None = None
    evaluation: Result | None = None


@dataclass(frozen=True)
class Finding:
    """What a study of one prompt found.

    graph: every node, with the strongest edges; pruned: the part worth drawing.
    """

    name: str
    graph: CircuitGraph
    pruned: CircuitGraph
    validation: Result
    sums: Result | None = None
    next_tokens: Result | None = None
    contexts: Result | None = None
    effects: Result | None = None
    control_scores: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


def study(
    bench: Bench, pair: PromptPair, place: Workspace, name: str, config: StudyConfig, progress: Progress | None = None
) -> Finding:
    """Everything about one prompt, saved in the workspace under `name`: graph, contexts, effects, validation.

    Raises:
        TextError: a prompt or answer that the tokenizer cannot take. Interrupted: cancelled before the end.
    """
    progress = progress or Silent()
    tokens = bench.model.tokens(pair.prompt).ids[0]
    target = target_of_pair(bench.model, pair)
    graph = trace(bench.model, bench.dictionaries, tokens, target, config.trace, progress)
    graph = graph.save(place.path_of("graphs", name))
    _stop_if_cancelled(progress)
    sums = check_sums(bench.model, bench.dictionaries, graph, config.sums)
    scores = control_scores(bench, tokens, target, config, progress)
    _stop_if_cancelled(progress)
    validation = validate(bench.model, bench.dictionaries, graph, config.validation, bench.untrained, progress)
    pruned = prune(graph, config.prune)
    progress.phase("gathering contexts")
    units = feature_units(pruned)
    effects = unit_effects(bench.model, bench.dictionaries, units)
    contexts = bench.scan.contexts(units, bench.model.tokenizer.strings, config.examples) if bench.scan else None
    finding = Finding(
        name, graph, pruned, validation, sums, next_tokens(bench.model, tokens), contexts, effects, scores
    )
    save_finding(finding, place)
    return finding


def quick_study(
    bench: Bench, pair: PromptPair, place: Workspace, name: str, config: StudyConfig, progress: Progress | None = None
) -> Finding:
    """Effects and group removals of a further prompt, without edges: a hundred times cheaper than `study`."""
    progress = progress or Silent()
    tokens = bench.model.tokens(pair.prompt).ids[0]
    without_edges = config.trace.model_copy(update={"influence": False})
    groups_only = config.validation.model_copy(update={"singles": 0, "exact": 0})
    target = target_of_pair(bench.model, pair)
    graph = trace(bench.model, bench.dictionaries, tokens, target, without_edges, progress)
    validation = validate(bench.model, bench.dictionaries, graph, groups_only, bench.untrained, progress)
    validation.save(place.path_of("results", f"{name}-validation"))
    return Finding(name, graph, graph, validation)


def target_of_pair(model: HookedModel, pair: PromptPair) -> Target:
    """The logit difference of a prompt's two answers."""
    return Target.difference(one_token(model, pair.target), one_token(model, pair.foil))


def one_token(model: HookedModel, text: str) -> int:
    """The id of a text that is one token; a leading space is tried where the bare text is not one.

    Raises:
        TextError: it takes several tokens.
    """
    for candidate in (text, f" {text}"):
        ids = model.tokenizer.encode(candidate)
        if len(ids) == 1:
            return ids[0]
    pieces = model.tokenizer.strings(model.tokenizer.encode(text))
    raise TextError(f"wanted one token, {text!r} is {len(pieces)}", f"found {pieces}", "name a shorter word")


def control_scores(
    bench: Bench, tokens: torch.Tensor, target: Target, config: StudyConfig, progress: Progress
) -> dict[str, dict[str, float]]:
    """Replacement and completeness of each control, traced as the real graph was."""
    return {
        name: trace(bench.model, control, tokens, target, config.trace, progress).scores
        for name, control in bench.controls.items()
    }


def feature_units(graph: CircuitGraph) -> list[Unit]:
    """The features of a graph, largest effect first, each once."""
    units = (graph.nodes[i].unit for i in graph.top(len(graph.nodes)))
    return list(dict.fromkeys(unit for unit in units if unit is not None))


@torch.no_grad()
def next_tokens(model: HookedModel, tokens: torch.Tensor, count: int = 10) -> Result:
    """The most probable next tokens (kind `next_tokens`): rank, token, token_id, probability, logit."""
    logits = model.run(tokens[None]).logits
    assert logits is not None
    last = logits[0, -1].float()
    probabilities, ids = last.softmax(-1).topk(min(count, len(last)))
    texts = model.tokenizer.strings(ids.tolist())
    rows = [
        {"rank": rank, "token": text, "token_id": token, "probability": p, "logit": float(last[token])}
        for rank, (text, token, p) in enumerate(zip(texts, ids.tolist(), probabilities.tolist(), strict=True))
    ]
    return Result("next_tokens", tables={"next_tokens": rows}, inputs={"model": model.ref.weight_hash})


def save_finding(finding: Finding, place: Workspace) -> None:
    """Save the Results beside the graph: `results/<name>-validation` and so on, tied to it by its content hash."""
    graph = finding.graph.manifest.content_hash
    for part in ("validation", "contexts", "effects", "sums", "next_tokens"):
        result: Result | None = getattr(finding, part)
        if result is not None:
            result.inputs["graph"] = graph
            result.save(place.path_of("results", f"{finding.name}-{part.replace('_', '-')}"))
    if finding.control_scores:
        rows = [{"control": name, **scores} for name, scores in finding.control_scores.items()]
        result = Result("control_scores", tables={"control_scores": rows}, inputs={"graph": graph})
        result.save(place.path_of("results", f"{finding.name}-controls"))


def write_finding(
    finding: Finding,
    bench: Bench,
    place: Workspace,
    config: ReportConfig,
    others: Sequence[Finding] = (),
    formats: Sequence[str] = ("html", "json"),
) -> dict[str, Path]:
    """Write the report of a finding to `reports/<name>`; returns format -> file."""
    groups, edges = saved_groups(place, finding.name, finding.graph)
    config = config.model_copy(update={"groups": config.groups or groups})
    report = circuit_report(
        finding.pruned,
        finding.validation,
        bench.evaluation,
        finding.contexts,
        finding.effects,
        finding.next_tokens,
        finding.sums,
        full=finding.graph,
        controls=finding.control_scores,
        others=[Study(other.graph, other.validation) for other in others],
        dictionaries=bench.dictionaries.manifest,
        document=graph_document(finding.pruned, finding.name),
        group_edges=edges if config.groups == groups else (),
        config=config,
    )
    return write_report(report, place.path_of("reports", finding.name), formats)


def _stop_if_cancelled(progress: Progress) -> None:
    if progress.cancelled():
        raise Interrupted("the study was cancelled; the graph is saved, start again for the rest")
