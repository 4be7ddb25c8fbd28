"""The benchmark of mask training runs, and counts one gradient at a time."""

import pytest

from workbench.evaluation import MaskBenchConfig
from workbench.evaluation.speed.masks import BRIDGE, OURS, PLAIN, bench_masks
from workbench.models import load_model


def test_a_step_is_timed_beside_a_plain_pass_and_its_memory_counted():
    result = bench_masks(MaskBenchConfig(quick=True))
    assert [row["case"] for row in result.tables["masks"]] == [PLAIN, BRIDGE, OURS]
    (memory,) = result.tables["memory"]
    model = load_model("planted-bigram")
    sizes = [model.params()[name].numel() * 4 / 1e6 for name in model.matrices()]
    assert memory["masks_mb"] == pytest.approx(sum(sizes))
    assert memory["moments_mb"] == pytest.approx(2 * sum(sizes))
    assert memory["largest_gradient_mb"] == pytest.approx(max(sizes))
    assert memory["gradients_left_mb"] == 0
