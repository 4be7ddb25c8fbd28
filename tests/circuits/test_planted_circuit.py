"""The planted model: its MLPs are ReLU neurons, so a transcoder made of them is exact and the answer is known."""

import pytest
import torch

from workbench.circuits import PruneConfig, Target, ValidateConfig, prune, trace, validate
from workbench.dictionaries import CoderConfig, DictionarySet, dictionaries_for_layers
from workbench.models import HookedModel, build_places, load_model

TEXT = "the man from north korea saw a big dog and said the capital"


def neurons(model: HookedModel) -> DictionarySet:
    """Every MLP as a transcoder: one feature per neuron."""
    config = CoderConfig(d_sae=model.shape.d_mlp, k=model.shape.d_mlp)
    found = dictionaries_for_layers(
        "topk-transcoder", range(model.shape.n_layers), model.shape.d_model, config, "neurons"
    )
    params = model.params()
    for layer, dictionary in enumerate(found.values()):
        prefix = f"blocks.{layer}.mlp."
        named = {"W_enc": params[prefix + "W_in"].T, "b_enc": params[prefix + "b_in"]}
        named |= {"W_dec": params[prefix + "W_out"], "b_dec": params[prefix + "b_out"]}
        dictionary.load_state_dict({name: value.clone() for name, value in named.items()})
    return found


@pytest.fixture(scope="module")
def planted():
    model = load_model("planted-places")
    ids = {word: model.tokenizer.encode(word)[0] for word in ("cap-north-korea", "cap-south-korea")}
    target = Target.difference(*ids.values())
    dictionaries = neurons(model)
    graph = trace(model, dictionaries, model.tokens(TEXT), target)
    return model, dictionaries, graph


def test_the_planted_nodes_have_the_largest_effects(planted):
    _, dictionaries, graph = planted
    words = list(graph.tokens)
    place = {word.strip(): position for position, word in enumerate(words)}
    basis = build_places().basis
    wanted = [(0, place["korea"], basis["place north korea"]), (1, place["capital"], basis["say cap-north-korea"])]
    top = [graph.nodes[i] for i in graph.top(2)]
    for layer, position, direction in wanted:
        node = next(node for node in top if (node.layer, node.position) == (layer, position))
        written = dictionaries.by_layer(layer).writers(torch.tensor([node.index]))
        row = next(iter(written.values()))[0]
        assert torch.cosine_similarity(row, direction, dim=0) > 0.99
    assert {graph.nodes[i].label.strip() for i in graph.top(3, "embed")} == {"north", "korea", "capital"}


def test_exact_transcoders_leave_no_error_beyond_the_masked_start(planted):
    _, _, graph = planted
    assert max(abs(graph.nodes[i].effect) for i in graph.find("error") if graph.nodes[i].position > 0) < 1e-4
    assert graph.scores["replacement_start_dropped"] > 0.99


def test_a_pruned_graph_is_the_circuit(planted):
    _, _, graph = planted
    small = prune(graph, PruneConfig(max_features=2, max_errors=0))
    assert len(small.find("feature")) == 2
    first, second = (small.nodes[i].id for i in small.find("feature"))
    edges = small.networkx()
    assert edges.has_edge(first, second)
    assert edges.has_edge(second, small.nodes[small.find("logit")[0]].id)


def test_removing_the_place_removes_the_answer(planted):
    model, dictionaries, graph = planted
    result = validate(model, dictionaries, graph, ValidateConfig(singles=4, exact=4, sizes=(1, 2), random_groups=1))
    assert max(result.scalars["exact_direct_worst_ratio"], result.scalars["exact_total_worst_ratio"]) < 1e-3
    single = result.df("single").set_index("node")
    for layer, position in ((0, 5), (1, 13)):
        change = single.loc[[f"feature:{layer}:0:{position}"], "free"]
        assert change.tolist() == pytest.approx([-graph.metric_value] * len(change), abs=1e-4)
    big_dog = single.loc["feature:0:16:9", "free"]
    assert abs(big_dog).max() < 1e-4
