"""A workspace with one graph and what was made from it, small and computed, for the tests of the pages."""

import math
from pathlib import Path

import torch

from workbench.core import CircuitGraph, Manifest, ModelRef, Node, Result, Site, Unit, generator

TOKENS = ("<bos>", "When", " Mary", " and", " <b>John</b>", " went", "\n", " to")


def unit(layer: int, index: int) -> Unit:
    return Unit("transcoder", "sample", Site("mlp_in", layer), index)


def sample_graph(n_layers: int = 4, per_cell: int = 2, tokens: tuple[str, ...] = TOKENS, seed: int = 0) -> CircuitGraph:
    """Features and errors at every layer and position but the first; every edge runs upwards and rightwards."""
    draw = generator(seed, "sample graph")
    nodes = [Node("embed", -1, t, index=t + 5, activation=1.0) for t in range(len(tokens))]
    for layer in range(n_layers):
        for t in range(1, len(tokens)):
            for index in range(per_cell):
                nodes.append(
                    Node("feature", layer, t, 10 * layer + index, unit(layer, 10 * layer + index), 1.0 + index, 0.5)
                )
            nodes.append(Node("error", layer, t))
    nodes.append(
        Node("logit", n_layers, len(tokens) - 1, 0, activation=2.5, pre_activation=2.5, label=" Mary minus John")
    )
    shares = torch.rand(len(nodes), generator=draw)
    shares = (shares / shares.sum()).tolist()
    signs = torch.randn(len(nodes), generator=draw).tolist()
    nodes = [
        Node(**{**vars(node), "influence": share, "effect": sign})
        for node, share, sign in zip(nodes, shares, signs, strict=True)
    ]
    pairs = [
        (s, t)
        for t, to in enumerate(nodes)
        for s, of in enumerate(nodes)
        if of.layer < to.layer and of.position <= to.position and to.kind in ("feature", "logit") and (s + t) % 3 == 0
    ]
    source, target = torch.tensor(pairs).T.contiguous()
    model = ModelRef(id="tiny-sample", weight_hash="0" * 64)
    return CircuitGraph(
        nodes=tuple(nodes),
        source=source,
        target=target,
        weight=torch.randn(len(pairs), generator=draw),
        bias=torch.zeros(len(nodes)),
        tokens=tokens,
        token_ids=tuple(range(len(tokens))),
        n_layers=n_layers,
        metric="logit difference, Mary minus John",
        metric_value=2.5,
        scores={"replacement": 0.56, "completeness": 0.81},
        manifest=Manifest(kind="graph", model=model),
    )


def fill(folder: Path, graph: CircuitGraph | None = None, name: str = "mary-john") -> CircuitGraph:
    """Save a graph, its contexts, unit effects and validation into a workspace folder."""
    graph = (graph or sample_graph()).save(folder / "graphs" / name)
    made_from = {"graph": graph.manifest.content_hash}
    units = sorted({node.unit for node in graph.nodes if node.unit})[:12]
    contexts = [
        {
            "unit": str(u),
            "rank": n,
            "activation": 3.0 - n,
            "document": "doc 7",
            "tokens": ["the", " <i>man", "</i>", " and", " her", " *bag*"],
            "values": [0.0, 0.2, 0.0, 0.0, 3.0 - n, 1.0],
            "peak": 4,
        }
        for u in units
        for n in range(3)
    ]
    effects = [
        {"unit": str(u), "promoted": [[" she", 0.8], [" her", 0.5]], "suppressed": [[" he", -0.6], [" <b>", -0.4]]}
        for u in units
    ]
    groups = [
        {
            "set": kind,
            "n": n,
            "seed": seed,
            "predicted": 2.5 - size * math.log(n),
            "frozen": 2.5 - 0.9 * size * math.log(n),
            "free": 2.5 - 0.7 * size * math.log(n) + 0.02 * seed,
        }
        for kind, size, seeds in (("trained", 0.5, 1), ("untrained", 0.2, 1), ("random", 0.02, 5))
        for n in (10, 30, 100)
        for seed in range(seeds)
    ]
    single = [
        {
            "set": "trained",
            "node": node.id,
            "layer": node.layer,
            "position": node.position,
            "predicted": node.effect,
            "frozen": 0.9 * node.effect,
            "free": 0.7 * node.effect,
        }
        for node in graph.nodes
        if node.kind == "feature"
    ]
    text = {"text": "a sample", "licence": "CC0"}
    Result("contexts", tables={"contexts": contexts}, params=text, inputs=made_from).save(
        folder / "results" / f"{name}-contexts"
    )
    Result("unit_effects", tables={"unit_effects": effects}, inputs=made_from).save(
        folder / "results" / f"{name}-effects"
    )
    Result("validation", {"metric_value": 2.5}, {"groups": groups, "single": single}, inputs=made_from).save(
        folder / "results" / f"{name}-validation"
    )
    scores = [{"control": "affine only", "replacement": 0.47, "completeness": 0.7}]
    Result("control_scores", tables={"control_scores": scores}, inputs=made_from).save(
        folder / "results" / f"{name}-controls"
    )
    return graph
