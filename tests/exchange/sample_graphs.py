"""Graphs of any shape for property tests, and equality that holds nan equal to nan."""

import torch
from hypothesis import strategies as st

from workbench.core import CircuitGraph, Manifest, Node, Site, Unit

TEXT = st.text(max_size=6)
NUMBER = st.floats(width=32)
FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)


@st.composite
def graphs(draw) -> CircuitGraph:
    """A graph whose errors and layer-0 features would share ids in the old form."""
    n_layers, n_tokens = draw(st.integers(1, 6)), draw(st.integers(1, 4))
    places = st.tuples(
        st.sampled_from(["embed", "feature", "feature", "error", "logit", "head", "mlp", "code", "neuron"]),
        st.integers(0, n_layers - 1),
        st.integers(0, 6),
        st.integers(0, n_tokens - 1),
    )
    nodes = {}
    for kind, layer, index, position in draw(st.lists(places, max_size=14)):
        layer = {"embed": -1, "logit": n_layers}.get(kind, layer)
        index = 0 if kind == "error" else index
        unit = Unit("transcoder", draw(st.sampled_from(["", "demo"])), Site("mlp_in", layer), index)
        told = {
            "unit": unit if kind == "feature" and draw(st.booleans()) else None,
            "activation": draw(NUMBER),
            "pre_activation": draw(NUMBER),
            "influence": draw(NUMBER),
            "effect": draw(NUMBER),
            "label": draw(TEXT),
        }
        node = Node(kind, layer, position, index, **told)
        nodes[node.id] = node
    ordered = sorted(nodes.values(), key=lambda node: node.layer)
    pairs = [(s, t) for s, a in enumerate(ordered) for t, b in enumerate(ordered) if a.layer < b.layer]
    edges = draw(st.lists(st.sampled_from(pairs), max_size=12)) if pairs else []
    dtype = draw(st.sampled_from([torch.float32, torch.float64]))
    return CircuitGraph(
        nodes=tuple(ordered),
        source=torch.tensor([s for s, _ in edges], dtype=torch.long),
        target=torch.tensor([t for _, t in edges], dtype=torch.long),
        weight=torch.tensor([draw(FINITE) for _ in edges], dtype=dtype),
        bias=torch.tensor([draw(NUMBER) for _ in ordered], dtype=dtype),
        tokens=tuple(draw(TEXT) for _ in range(n_tokens)),
        token_ids=tuple(draw(st.integers(0, 50_000)) for _ in range(n_tokens)),
        n_layers=n_layers,
        metric=draw(TEXT),
        metric_value=draw(NUMBER),
        scores=draw(st.dictionaries(TEXT, NUMBER, max_size=3)),
        manifest=Manifest(kind="graph", name=draw(TEXT), config={"target": {"kind": "top", "tokens": []}}),
    )


def same(one: CircuitGraph, two: CircuitGraph) -> bool:
    """Equal in every field; nan equals nan, and 0 is not -0."""

    def plain(graph: CircuitGraph) -> list[str]:
        tensors = [graph.source, graph.target, graph.weight, graph.bias]
        rest = [graph.tokens, graph.token_ids, graph.n_layers, graph.metric, graph.metric_value, graph.scores]
        told = [repr(value) for value in (*rest, graph.manifest)]
        return [repr(node) for node in graph.nodes] + told + [f"{t.dtype}{t.tolist()}" for t in tensors]

    return plain(one) == plain(two)
