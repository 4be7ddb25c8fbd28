"""Was the planted circuit found? Precision and recall of a graph against the circuit that the weights were set to."""

from typing import Any

import torch

from workbench.core import CircuitGraph, Node
from workbench.data import PromptPair
from workbench.dictionaries import DictionarySet
from workbench.models import BEINGS, PLACES, QUESTIONS, HookedModel, PlantedNode, answer, build_places

from .study import Finding

MIN_COSINE = 0.8
"""A feature counts as the planted neuron when its decoder row has at least this cosine with what the neuron writes."""


def planted_prompts(count: int) -> list[PromptPair]:
    """Prompts about places, each with an animal as a distractor; the foil is another place's answer."""
    pairs = []
    for number in range(count):
        place, other = PLACES[5 * number % len(PLACES)], PLACES[(5 * number + 7) % len(PLACES)]
        being, question = " ".join(BEINGS[3 * number % len(BEINGS)]), QUESTIONS[number % len(QUESTIONS)]
        prompt = f"the man from {' '.join(place)} saw a {being} and said the {question}"
        note = " ".join((*place, question))
        pairs.append(PromptPair(prompt, answer(*place, question), answer(*other, question), note))
    return pairs


def check_planted(
    finding: Finding,
    pair: PromptPair,
    model: HookedModel,
    dictionaries: DictionarySet,
    tables: dict[str, list[dict[str, Any]]],
    scalars: dict[str, float],
) -> None:
    """Compare the pruned graph's tokens and features with the planted circuit; fills `tables` and `scalars`.

    The graph claims a token or feature when its |total effect| is at least a twentieth of the largest.
    precision = planted among claimed, recall = planted nodes that some claimed node matches.
    """
    place_and_question = pair.note.split()
    circuit = build_places().circuit(*place_and_question)
    graph = finding.graph
    found = _claimed(graph)
    hits = {node.id: _match(node, graph, circuit, dictionaries) for node in found}
    matched = {planted for planted in hits.values() if planted is not None}
    tables["planted_circuit"] = [
        {
            "planted": f"{planted.kind} {planted.layer} at {planted.word!r}",
            "found": ", ".join(name for name, hit in hits.items() if hit == number) or "no",
        }
        for number, planted in enumerate(circuit)
    ]
    scalars["planted_precision"] = sum(hit is not None for hit in hits.values()) / max(len(hits), 1)
    scalars["planted_recall"] = len(matched) / len(circuit)


def _claimed(graph: CircuitGraph) -> list[Node]:
    """What the graph says the circuit is."""
    nodes = [node for node in graph.nodes if node.kind in ("embed", "feature")]
    largest = max(abs(node.effect) for node in nodes)
    return [node for node in nodes if abs(node.effect) >= largest / 20]


def _match(
    node: Node, graph: CircuitGraph, circuit: tuple[PlantedNode, ...], dictionaries: DictionarySet
) -> int | None:
    """The number of the planted node that a graph node is, if any."""
    for number, planted in enumerate(circuit):
        here = graph.tokens[node.position].strip() == planted.word
        if not here or (node.kind, node.layer) != (planted.kind, planted.layer):
            continue
        if node.kind == "embed":
            return number
        (written,) = dictionaries.by_layer(node.layer).writers(torch.tensor([node.index])).values()
        if torch.cosine_similarity(written[0], planted.direction, dim=0) >= MIN_COSINE:
            return number
    return None
