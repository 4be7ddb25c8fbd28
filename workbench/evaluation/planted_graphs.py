"""Attribution graphs of planted models through exact transcoders: are the planted neurons found?"""

from typing import Any

import torch
from sklearn.metrics import roc_auc_score

from workbench.circuits import Target, trace
from workbench.core import CircuitGraph, Interrupted, Node, Progress, PromptPair, child
from workbench.data import answer_ids
from workbench.dictionaries import CoderConfig, DictionarySet, dictionaries_for_layers
from workbench.models import HookedModel, PlantedCircuit

from .planted_circuits_config import PlantedCircuitsConfig

_CLAIMED = 1 / 20


def planted_graph_rows(
    circuit: PlantedCircuit, config: PlantedCircuitsConfig, progress: Progress
) -> list[dict[str, Any]]:
    """One row for the model: precision, recall and AUROC of planted features, and the largest effect of an error node.

    Nothing for circuits without MLPs, and for gated MLPs, whose neurons are no transcoder's features.
    """
    if not circuit.neurons or not config.graphs or hasattr(circuit.model.config, "num_key_value_heads"):
        return []
    pairs = circuit.prompts(config.graphs, child(config.seed, "graphs"))
    wanted = [circuit.neurons_of(pair) for pair in pairs]
    model = circuit.hooked()
    transcoders = exact_transcoders(model)
    found = []
    progress.phase("tracing planted circuits", len(pairs), "graphs")
    for pair, planted in zip(pairs, wanted, strict=True):
        if progress.cancelled():
            raise Interrupted("cancelled while tracing")
        found.append(_judged(_trace(model, transcoders, pair), planted))
        progress.advance()
    mean = {key: sum(row[key] for row in found) / len(found) for key in ("precision", "recall", "AUROC")}
    worst = max(row["errors"] for row in found)
    return [{"model": circuit.name, "instance": circuit.seed, "graphs": len(found), **mean, "errors": worst}]


def exact_transcoders(model: HookedModel) -> DictionarySet:
    """Every MLP as a transcoder with one feature per neuron; exact for ReLU MLPs without a gate."""
    width, layers = model.shape.d_mlp, range(model.shape.n_layers)
    config = CoderConfig(d_sae=width, k=width)
    found = dictionaries_for_layers("topk-transcoder", layers, model.shape.d_model, config, "neurons")
    params = model.params()
    for layer, dictionary in zip(layers, found.values(), strict=True):
        prefix = f"blocks.{layer}.mlp."
        named = {"W_enc": params[prefix + "W_in"].T, "b_enc": params[prefix + "b_in"]}
        named |= {"W_dec": params[prefix + "W_out"], "b_dec": params[prefix + "b_out"]}
        dictionary.load_state_dict({name: value.clone() for name, value in named.items()})
    return found


def _trace(model: HookedModel, transcoders: DictionarySet, pair: PromptPair) -> CircuitGraph:
    target = Target.difference(*answer_ids(model.tokenizer, pair))
    return trace(model, transcoders, torch.as_tensor(model.tokens(pair.prompt).ids[0]), target)


def _judged(graph: CircuitGraph, planted: frozenset[tuple[int, int]]) -> dict[str, float]:
    features = [node for node in graph.nodes if node.kind == "feature"]
    largest = max((abs(node.effect) for node in features), default=0.0)
    claimed = {_neuron(node) for node in features if abs(node.effect) >= largest * _CLAIMED}
    labels = [_neuron(node) in planted for node in features]
    errors = [abs(node.effect) for node in graph.nodes if node.kind == "error"]
    mixed = any(labels) and not all(labels)
    return {
        "precision": len(claimed & planted) / max(len(claimed), 1),
        "recall": len(claimed & planted) / len(planted),
        "AUROC": float(roc_auc_score(labels, [abs(node.effect) for node in features])) if mixed else float(any(labels)),
        "errors": max(errors, default=0.0) / max(abs(graph.metric_value), 1e-9),
    }


def _neuron(node: Node) -> tuple[int, int]:
    return node.layer, node.index
