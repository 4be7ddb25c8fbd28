"""Figures of sparsity: drawn from plain records, with the numbers they are given."""

import numpy as np
import pytest

import workbench  # noqa: F401  (names the providers of the registry)
from workbench.core import Result


def test_a_profile_by_layer_and_its_map():
    layers = [{"layer": n, "density": 0.4 - n / 10, "dead_share": 0.1, "always_on_share": 0.0} for n in range(3)]
    rates = np.tile(np.linspace(0, 1, 600), (3, 1))
    result = Result("sparsity_profile", tables={"layers": layers}, arrays={"rates": rates})
    assert list(result.fig().data[0].y) == pytest.approx([0.4, 0.3, 0.2])
    shown = result.fig("firing_map").data[0]
    assert shown.z.shape == (3, 256)
    assert shown.z.max() == pytest.approx(1, abs=0.01)
    assert (np.diff(shown.z[0]) <= 0).all()
    lazy = Result("sparsity_profile", arrays={"rates": rates**8}).fig("firing_map").data[0]
    assert (lazy.zmin, lazy.zmax, lazy.z.max()) == (-4, 0, pytest.approx(0, abs=0.01))


def test_a_dial_has_a_line_for_each_rule_and_layers_apart():
    def row(rule, layer, silent, rise):
        ends = {"perplexity_rise": rise, "perplexity_rise_low": rise - 0.01, "perplexity_rise_high": rise + 0.02}
        return {"rule": rule, "allocation": "uniform", "layer": layer, "share": 0.5, "silent": silent, **ends}

    rows = [row("teal", None, 0.8, 0.3), row("teal", None, 0.5, 0.1), row("random", None, 0.5, 2.0)]
    result = Result("dial", tables={"dial": [*rows, row("teal", 0, 0.5, 0.01), row("teal", 1, 0.5, 0.02)]})
    teal, random = result.fig().data
    assert list(teal.x) == [0, 0.5, 0.8]
    assert list(teal.error_y.array) == pytest.approx([0, 0.02, 0.02])
    assert random.name == "random, uniform"
    (alone,) = result.fig("dial_layers").data
    assert list(alone.y) == [0.01, 0.02]


def test_lazy_curves_are_means_over_layers():
    rows = [
        {"run": run, "step": step, "layer": layer, "density": 0.5 - step / 100 - layer / 10, "loss": None}
        for run in ("dense", "random-labels") for step in (0, 10) for layer in (0, 1)
    ]  # fmt: skip
    dense, _ = Result("lazy_neuron", tables={"curves": rows}).fig().data
    assert list(dense.x) == [0, 10]
    assert list(dense.y) == pytest.approx([0.45, 0.35])
