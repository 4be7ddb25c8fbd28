from functools import partial

import numpy as np
import pytest
import torch

from workbench.data import RegressionConfig, draw_contexts, represent
from workbench_probes import InContextConfig, distance_row, distances, pooled_probes, reference_predictors, ridge

SMALL = InContextConfig(contexts=96, lengths=(2, 8), bootstrap=100, probe_steps=300, probe_batch=64)


def test_a_predictor_is_no_distance_from_itself_and_the_others_as_far_as_two_lines_say():
    x, y, _ = draw_contexts(RegressionConfig(noise=0.25, pairs=18), 50, 0)
    x, y, queries = x[:, :8], y[:, :8], x[:, 8:]
    found = {row.predictor: row for row in distances(partial(ridge, penalty=0.25), {**reference_predictors(0.25),
             "ridge": partial(ridge, penalty=0.25)}, x, y, queries, (8,))}  # fmt: skip
    assert found["ridge"].spd.max() < 1e-9
    assert found["ridge"].ilwd.max() < 1e-9
    w = torch.linalg.solve(x.mT @ x + 0.25 * torch.eye(4), x.mT @ y[..., None])[..., 0]
    step = (x.mT @ y[..., None])[..., 0] / (8 + 4 + 1 + 0.25)
    row = found["one gradient step"]
    np.testing.assert_allclose(row.ilwd[:, 0], ((w - step).square().sum(1) / 4).numpy(), rtol=1e-3)
    apart = torch.einsum("bmd,bd->bm", queries, w - step).square().mean(1) / 4
    np.testing.assert_allclose(row.spd[:, 0], apart.numpy(), rtol=1e-3)
    told = distance_row(row, SMALL)
    assert told["spd"] == pytest.approx(float(row.spd.mean()))
    assert told["spd_low"] < told["spd"] < told["spd_high"]


def test_a_pooled_probe_finds_the_layer_and_the_position_that_hold_the_target():
    draw = torch.Generator().manual_seed(0)
    hidden, wanted = torch.randn(2, 800, 6, 8, generator=draw), torch.randn(800, 2, generator=draw)
    hidden[1, :, 4, :2] = wanted
    linear = pooled_probes(hidden, wanted, SMALL)
    assert linear[0]["r2"] < 0.1
    assert linear[1]["r2"] > 0.9
    network = pooled_probes(hidden, wanted.square(), SMALL, network=True)
    assert network[1]["r2"] > pooled_probes(hidden, wanted.square(), SMALL)[1]["r2"] + 0.3
    assert all(row["low"] <= row["r2"] <= row["high"] for row in [*linear, *network])


def test_a_representation_is_fixed_keeps_the_scale_and_bends():
    x = torch.randn(4000, 1, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(represent(x, 0), x)
    once = represent(x, 2)
    torch.testing.assert_close(once, represent(x, 2))
    assert 0.6 < float(once.var()) < 1.6
    assert float((represent(-x, 2) + once).abs().mean()) > 0.3
    config = RegressionConfig(representation=2)
    seen, y, w = draw_contexts(config, 3, 0)
    torch.testing.assert_close(y, torch.einsum("bnd,bd->bn", represent(seen, 2), w))
