"""MLP neurons as nodes: with all of them nothing is left over; edges are what removing a source changes."""

import pytest
import torch
from circuits.small_circuits import DIFFERENCE, FAMILIES, IDS, build_hooked
from circuits.test_edges import explicit_rows, measured_rows

from workbench.circuits import ValidateConfig, analyse, check_sums, neuron_set, trace, validate
from workbench.core import ConfigError

PLAIN = [family for family in FAMILIES if not family.startswith("gemma")]


@pytest.mark.parametrize("family", PLAIN)
@torch.no_grad()
def test_all_neurons_leave_no_error_and_edges_are_measured(family):
    model, _ = build_hooked(family, torch.float64)
    analysis = analyse(model, neuron_set(model, model.shape.d_mlp), IDS, DIFFERENCE)
    for units in analysis.replacement.layers:
        assert units.kind == "neuron"
        assert units.error[units.included].abs().max() < 1e-10 * units.writes(units.layer).abs().max()
        assert torch.allclose(units.activation, units.pre_activation, rtol=1e-9, atol=1e-12)
    some = analyse(model, neuron_set(model, 3), IDS, DIFFERENCE)
    wanted = measured_rows(model, some)
    assert (explicit_rows(some) - wanted).abs().max() < 1e-10 * wanted.abs().max()


def test_values_are_those_of_the_model():
    model, _ = build_hooked("llama", torch.float64)
    analysis = analyse(model, neuron_set(model, 4), IDS, DIFFERENCE)
    post = model.capture(IDS, ["mlp_post.1"]).popitem()[1][0]
    units = analysis.replacement.layers[1]
    assert torch.allclose(units.activation, post[units.position, units.index])


def test_a_graph_of_neurons_is_traced_checked_and_validated():
    model, _ = build_hooked("gpt2", torch.float64)
    neurons = neuron_set(model, 4)
    graph = trace(model, neurons, IDS, DIFFERENCE)
    node = graph.nodes[graph.top(1, "neuron")[0]]
    assert node.unit is not None
    assert (node.unit.kind, node.unit.artifact) == ("neuron", "")
    assert check_sums(model, neurons, graph).scalars["worst_ratio"] < 1e-8
    result = validate(model, neurons, graph, ValidateConfig(singles=2, exact=5, exact_drawn=5, sizes=(2,)))
    assert max(result.scalars[f"exact_{mode}_worst_ratio"] for mode in ("direct", "edges", "total")) < 1e-9


def test_neurons_whose_output_is_normed_are_refused():
    model, _ = build_hooked("gemma2", torch.float64)
    with pytest.raises(ConfigError, match="writes a fixed direction"):
        neuron_set(model)
