"""Trace: the attribution graph of one prompt."""

from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from workbench.core import CircuitGraph, Manifest, Node, Progress, Silent, Site, Unit
from workbench.dictionaries import DictionarySet
from workbench.models import HookedModel, TokenBatch

from .analysis import Analysis, analyse
from .config import Target, TraceConfig
from .expansion import Expansion, expand, without_edges
from .group_effect import group_effect
from .ledger import ledger_of
from .units import LayerUnits

UNIT_KINDS = {"feature": "transcoder", "neuron": "neuron", "code": "code"}


def trace(
    model: HookedModel,
    dictionaries: DictionarySet,
    tokens: TokenBatch | Int[Tensor, "..."],
    target: Target,
    config: TraceConfig | None = None,
    progress: Progress | None = None,
) -> CircuitGraph:
    """The attribution graph of the local replacement model (Ameisen et al. 2025), every row exact.

    Nodes: the embedding of every position, the active units at the positions of the model's MaskPolicy, an error
    node per layer and position, the targets. A unit's incoming edges, all of them, add up to its pre-activation
    minus its bias; the graph keeps the strongest. `Node.effect` is the signed total linear effect on the metric.

    With `max_feature_nodes` only that many units are nodes, found in order of influence; what the others hold is
    in the error ledger. A dictionary that is not read linearly gives no node: the manifest's details name it
    (`no_nodes`), and its MLPs are errors as a whole. `target_tokens` in the details holds (token, foil or -1) of
    every target, also of those that were chosen by probability.

    `scores` has replacement and completeness beside `group_effect`, which is measured on the model: see
    `workbench.circuits.group_effect`.

    Raises:
        ConfigError: dictionaries that read or write elsewhere or whose units cannot be nodes.
        TextError: see `Target`. Interrupted: cancelled.
    """
    config, progress = config or TraceConfig(), progress or Silent()
    with torch.no_grad():
        progress.phase("freezing the run")
        analysis = analyse(model, dictionaries, tokens, target)
        return graph_of(analysis, model, dictionaries, target, config, progress)


def graph_of(
    analysis: Analysis,
    model: HookedModel,
    dictionaries: DictionarySet,
    target: Target,
    config: TraceConfig,
    progress: Progress,
) -> CircuitGraph:
    """The graph of an analysed prompt; see `trace`."""
    found = expand(analysis, config, progress) if config.influence else without_edges(analysis)
    ids = tuple(int(token) for token in analysis.frozen.tokens)
    texts = _texts(model, ids)
    scores = _scores(analysis, found)
    if config.interventions:
        progress.phase("removing groups of features")
        scores |= group_effect(model, analysis, progress)
    details: dict[str, Any] = {
        "dictionaries": dictionaries.name,
        "target_tokens": [list(pair) for pair in analysis.metric.token_ids],
    }
    if analysis.replacement.no_nodes:
        details["no_nodes"] = dict(analysis.replacement.no_nodes)
    if config.influence:
        details["ledger"] = ledger_of(analysis, found)
    manifest = Manifest(
        kind="graph",
        model=model.ref,
        mask=model.policy,
        parents={dictionaries.name: dictionaries.manifest.content_hash} if dictionaries.manifest else {},
        config={**config.model_dump(mode="json"), "target": target.model_dump(mode="json")},
        details=details,
    )
    alive = torch.cat([found.nodes, found.nodes.new_ones(analysis.numbering.n_targets)])
    place = alive.cumsum(0) - 1
    return CircuitGraph(
        nodes=tuple(node for node in _nodes(analysis, found, model, dictionaries, texts) if node is not None),
        source=place[found.edges[0]].cpu(),
        target=place[found.edges[1]].cpu(),
        weight=found.edges[2].float().cpu(),
        bias=analysis.biases()[alive].float().cpu(),
        tokens=texts,
        token_ids=ids,
        n_layers=analysis.frozen.n_layers,
        metric=_metric_name(model, target, analysis.metric.token_ids),
        metric_value=analysis.value,
        scores=scores,
        manifest=manifest,
    )


def _scores(analysis: Analysis, found: Expansion) -> dict[str, float]:
    scores = {
        "n_features": float(analysis.replacement.n_units),
        "source_effects_gap": analysis.source_gap(),
        **found.scores,
    }
    if found.scores:
        unexpanded = torch.nonzero(~found.nodes)[:, 0]
        scores["n_expanded"] = scores["n_features"] - len(unexpanded)
        scores["unexpanded_influence"] = float(found.influence.share[unexpanded].sum())
    return scores


def _nodes(
    analysis: Analysis, found: Expansion, model: HookedModel, dictionaries: DictionarySet, texts: tuple[str, ...]
) -> list[Node | None]:
    """Every node by number; None for units that were not expanded."""
    numbering, metric = analysis.numbering, analysis.metric
    effect, value = analysis.total.tolist(), found.influence.share.tolist()
    nodes: list[Node | None] = [None] * numbering.n_nodes
    for position, (token, text) in enumerate(zip(analysis.frozen.tokens.tolist(), texts, strict=True)):
        shown = {"influence": value[position], "effect": effect[position], "label": text}
        nodes[position] = Node("embed", -1, position, token, **shown)
    for units, sources in zip(analysis.replacement.layers, numbering.layers, strict=True):
        for position, number in enumerate(sources.error_nodes.tolist()):
            nodes[number] = Node(
                "error", units.layer, position, influence=value[number], effect=effect[number], label="error"
            )
        kept = found.nodes[sources.unit_nodes]
        columns = (sources.unit_nodes, units.position, units.index, units.activation, units.pre_activation)
        for number, position, index, activation, pre in zip(*(c[kept].tolist() for c in columns), strict=True):
            unit = _unit(units, dictionaries, index)
            nodes[number] = Node(
                units.kind, units.layer, position, index, unit, activation, pre, value[number], effect[number]
            )
    final = analysis.frozen.final_norm.push(analysis.frozen.resid_post_last[:, None])[:, 0]
    final = (final + analysis.frozen.final_norm.constant)[metric.position]
    rows = (metric.directions @ final + metric.constants).tolist()
    for number, (row, pair) in enumerate(zip(rows, metric.token_ids, strict=True)):
        label = _pair_name(model, pair)
        share, weight = value[numbering.n_sources + number], float(metric.weights[number]) * row
        place = (analysis.frozen.n_layers, metric.position, number)
        nodes[numbering.n_sources + number] = Node("logit", *place, None, row, row, share, weight, label)
    return nodes


def _unit(units: LayerUnits, dictionaries: DictionarySet, index: int) -> Unit:
    """The address of a unit; neurons are the model's own and belong to no artifact."""
    artifact = "" if units.kind == "neuron" else dictionaries.name or units.name
    return Unit(UNIT_KINDS[units.kind], artifact, Site("mlp_in", units.layer), index)


def _texts(model: HookedModel, ids: tuple[int, ...]) -> tuple[str, ...]:
    return tuple(str(i) for i in ids) if model.tokenizer is None else tuple(model.tokenizer.strings(list(ids)))


def _pair_name(model: HookedModel, pair: tuple[int, int]) -> str:
    names = [text.strip() or repr(text) for text in _texts(model, tuple(i for i in pair if i >= 0))]
    return " - ".join(names)


def _metric_name(model: HookedModel, target: Target, pairs: tuple[tuple[int, int], ...]) -> str:
    if target.kind == "difference":
        return f"logit difference {_pair_name(model, pairs[0])}"
    names = ", ".join(_pair_name(model, pair) for pair in pairs)
    return f"logit above the mean of {names}" + (" (weighted by probability)" if target.kind == "top" else "")
