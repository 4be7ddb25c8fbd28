"""Trace: the attribution graph of one prompt."""

import torch
from jaxtyping import Int
from torch import Tensor

from workbench.core import CircuitGraph, Interrupted, Manifest, Node, Progress, Silent, Unit
from workbench.dictionaries import DictionarySet
from workbench.models import HookedModel, TokenBatch

from .analysis import Analysis, analyse
from .config import Target, TraceConfig
from .edges import StrongestEdges
from .influence import Influence
from .sweep import Rows


def trace(
    model: HookedModel,
    dictionaries: DictionarySet,
    tokens: TokenBatch | Int[Tensor, "..."],
    target: Target,
    config: TraceConfig | None = None,
    progress: Progress | None = None,
) -> CircuitGraph:
    """The attribution graph of the local replacement model (Ameisen et al. 2025), every row exact.

    Nodes: the embedding of every position, every active unit at the positions of the model's MaskPolicy, an error
    node per layer and position, the targets. A unit's incoming edges, all of them, add up to its pre-activation
    minus its bias; the graph keeps the strongest. `Node.effect` is the signed total linear effect on the metric.

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
    numbering, metric = analysis.numbering, analysis.metric
    influence = Influence(numbering, metric.weights, torch.zeros_like(analysis.total, dtype=torch.bool))
    scores = {
        "n_features": float(analysis.replacement.n_units),
        "source_effects_gap": analysis.source_gap(),
    }
    none = torch.zeros(0, dtype=torch.long)
    edges = (none, none, metric.weights.new_zeros(0))
    if config.influence:
        edges = _swept(analysis, config, progress, influence, scores)
    ids = tuple(int(token) for token in analysis.frozen.tokens)
    texts = _texts(model, ids)
    manifest = Manifest(
        kind="graph",
        model=model.ref,
        mask=model.policy,
        parents={dictionaries.name: dictionaries.manifest.content_hash} if dictionaries.manifest else {},
        config={**config.model_dump(mode="json"), "target": target.model_dump(mode="json")},
        details={"dictionaries": dictionaries.name},
    )
    return CircuitGraph(
        nodes=tuple(_nodes(analysis, influence, model, dictionaries, texts)),
        source=edges[0].cpu(),
        target=edges[1].cpu(),
        weight=edges[2].float().cpu(),
        bias=analysis.biases().float().cpu(),
        tokens=texts,
        token_ids=ids,
        n_layers=analysis.frozen.n_layers,
        metric=_metric_name(model, target, metric.token_ids),
        metric_value=analysis.value,
        scores=scores,
        manifest=manifest,
    )


def _swept(
    analysis: Analysis, config: TraceConfig, progress: Progress, influence: Influence, scores: dict[str, float]
) -> tuple[Tensor, Tensor, Tensor]:
    """Every row once, from the targets down; fills influence and scores, returns the edges kept."""
    numbering, metric = analysis.numbering, analysis.metric
    without_start = Influence(numbering, metric.weights, _start_errors(analysis))
    edges = StrongestEdges(config.max_edges)
    rows = analysis.sweep.target_rows(metric)
    without_start.hand_down(rows, rows.weight.abs())
    edges.add_all(rows, influence.hand_down(rows, rows.weight.abs()))
    progress.phase("tracing", analysis.replacement.n_units, "features")
    for block in analysis.sweep.blocks(config.rows_per_block):
        for layer in block.layers.unique().flip(0):
            one = torch.nonzero(block.layers == layer)[:, 0]
            width = numbering.columns_below(int(layer))
            part = Rows(block.nodes[one], block.layers[one], block.weight[one, :width])
            absolute = part.weight.abs()
            without_start.hand_down(part, absolute)
            edges.add(part, absolute, influence.hand_down(part, absolute))
        progress.advance(len(block.nodes))
        if progress.cancelled():
            raise Interrupted("the trace was cancelled before it had a graph")
    found = edges.result()
    scores.update(influence.scores())
    scores.update({f"{name}_start_dropped": value for name, value in without_start.scores().items()})
    scores["edge_influence_kept"] = edges.kept / edges.total if edges.total else 1.0
    return found


def _start_errors(analysis: Analysis) -> Tensor:
    """Error nodes at positions where units may stand in other layers but never do: the prompt's masked start."""
    masked = ~torch.stack([units.included for units in analysis.replacement.layers]).any(0)
    dropped = torch.zeros_like(analysis.total, dtype=torch.bool)
    for layer in analysis.numbering.layers:
        dropped[layer.error_nodes[masked]] = True
    return dropped


def _nodes(
    analysis: Analysis, influence: Influence, model: HookedModel, dictionaries: DictionarySet, texts: tuple[str, ...]
) -> list[Node]:
    numbering, metric = analysis.numbering, analysis.metric
    effect, value = analysis.total.tolist(), (influence.value / metric.weights.abs().sum()).tolist()
    nodes: list[Node | None] = [None] * numbering.n_nodes
    for position, (token, text) in enumerate(zip(analysis.frozen.tokens.tolist(), texts, strict=True)):
        shown = {"influence": value[position], "effect": effect[position], "label": text}
        nodes[position] = Node("embed", -1, position, token, **shown)
    for units, sources in zip(analysis.replacement.layers, numbering.layers, strict=True):
        for position, number in enumerate(sources.error_nodes.tolist()):
            nodes[number] = Node(
                "error", units.layer, position, influence=value[number], effect=effect[number], label="error"
            )
        if not len(units):
            continue
        dictionary = dictionaries.by_layer(units.layer)
        columns = (sources.unit_nodes, units.position, units.index, units.activation, units.pre_activation)
        for number, position, index, activation, pre in zip(*(c.tolist() for c in columns), strict=True):
            unit = Unit("transcoder", dictionaries.name or dictionary.name, dictionary.reads[0], index)
            nodes[number] = Node(
                "feature", units.layer, position, index, unit, activation, pre, value[number], effect[number]
            )
    final = analysis.frozen.final_norm.push(analysis.frozen.resid_post_last[:, None])[:, 0]
    final = (final + analysis.frozen.final_norm.constant)[metric.position]
    rows = (metric.directions @ final + metric.constants).tolist()
    for number, (row, pair) in enumerate(zip(rows, metric.token_ids, strict=True)):
        label = _pair_name(model, pair)
        share, weight = value[numbering.n_sources + number], float(metric.weights[number]) * row
        place = (analysis.frozen.n_layers, metric.position, number)
        nodes[numbering.n_sources + number] = Node("logit", *place, None, row, row, share, weight, label)
    return [node for node in nodes if node is not None]


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
