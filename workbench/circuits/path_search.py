"""Paths into a node of a graph, found greedily on its prompt, as a Result."""

import torch

from workbench.core import CircuitGraph, ConfigError, Node, Progress, Result, Silent, nearest
from workbench.dictionaries import DictionarySet
from workbench.models import HookedModel

from .analysis import analyse
from .config import PathConfig
from .invariant_paths import PathSearch, Step
from .sums import target_of

NOTES = (
    "value: what flows along the path into the node's pre-activation; share: over that pre-activation",
    "a path ends in a feature, a head's source token or an embedding; longer paths are parts of shorter ones",
    "read from left to right: the node first, then one step back after the other; @ is the position",
)


def find_paths(
    model: HookedModel,
    dictionaries: DictionarySet,
    graph: CircuitGraph,
    node: str = "",
    config: PathConfig | None = None,
    progress: Progress | None = None,
) -> Result:
    """The strongest paths back from a feature of a graph (kind `path_search`), by `PathSearch`.

    Table `paths`: path, value, share, steps, and whether it ends at an embedding.

    Args:
        node: its id; none: the feature with the largest effect.

    Raises:
        ConfigError: the graph has no such feature.
    """
    config, progress = config or PathConfig(), progress or Silent()
    start = _start(graph, node)
    progress.phase("searching paths")
    with torch.no_grad():
        analysis = analyse(model, dictionaries, torch.tensor(graph.token_ids), target_of(graph))
        search = PathSearch(model, analysis)
        found = search.run(start.layer, start.index, start.position, config.branches, config.rounds)
    whole = start.pre_activation or start.activation or 0.0
    rows = [
        {
            "path": " <- ".join(_said(step, graph) for step in path.steps),
            "value": path.value,
            "share": path.value / whole if whole else None,
            "steps": len(path.steps) - 1,
            "complete": path.done,
        }
        for path in found[: config.count]
    ]
    return Result(
        kind="path_search",
        scalars={"pre_activation": whole, "found": float(len(found))},
        tables={"paths": rows},
        params={"node": start.id, **config.model_dump(mode="json")},
        inputs={"graph": graph.manifest.content_hash, "model": model.ref.weight_hash},
        notes=NOTES,
    )


def _start(graph: CircuitGraph, node: str) -> Node:
    features = graph.find("feature")
    if not features:
        raise ConfigError("the graph has no features to search back from")
    if not node:
        return graph.nodes[graph.top(1)[0]]
    known = {graph.nodes[i].id: graph.nodes[i] for i in features}
    if node not in known:
        raise ConfigError(f"the graph has no feature {node!r}", hint=nearest(node, list(known)))
    return known[node]


def _said(step: Step, graph: CircuitGraph) -> str:
    token = graph.tokens[step.position]
    place = f"@{step.position} {token.strip() or token!r}"
    if step.kind == "embed":
        return f"embedding {place}"
    return f"{step.kind} {step.layer}.{step.index} {place}"
