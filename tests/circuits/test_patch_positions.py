"""Patching by layer and position against one run at a time; cancelled runs keep what they had."""

import math

import pytest
import torch
from circuits.small_components import contrast, pair_of

from workbench.circuits import Contrast, PositionPatchConfig, patch_positions
from workbench.core import Silent, Site, TextError


@pytest.fixture(scope="module")
def model():
    return pair_of("llama")[0]


@pytest.mark.parametrize("direction", ["noising", "denoising"])
def test_effects_are_those_of_single_runs(model, direction):
    some = contrast(2, length=5)
    config = PositionPatchConfig(kinds=("resid_pre", "mlp_out"), direction=direction, batch=3)
    result = patch_positions(model, some, config)
    runs, source = (some.clean, some.corrupted) if direction == "noising" else (some.corrupted, some.clean)
    site, position = Site("mlp_out", 1), 2
    instead = model.capture(source, [site])[site]

    def put(x):
        x = x.clone()
        x[:, position] = instead[:, position]
        return x

    def metric(logits):
        rows = torch.arange(len(some))
        return logits[rows, -1, some.answers[:, 0]] - logits[rows, -1, some.answers[:, 1]]

    wanted = metric(model.intervene(runs, [(site, put)]).logits) - metric(model.run(runs).logits)
    number = model.shape.n_layers + 1
    torch.testing.assert_close(torch.from_numpy(result.arrays["effects"][:, number, position]), wanted)
    row = next(r for r in result.tables["positions"] if (r["site"], r["layer"], r["position"]) == ("mlp_out", 1, 2))
    gap = float((metric(model.run(source).logits) - metric(model.run(runs).logits)).mean())
    assert row["recovered"] == pytest.approx(float(wanted.mean()) / gap)


def test_the_one_token_that_differs_carries_everything_at_first(model):
    result = patch_positions(model, contrast(1, length=6, changed=1))
    first = [row["recovered"] for row in result.tables["positions"] if row["layer"] == 0]
    assert first == pytest.approx([0, 1, 0, 0, 0, 0], abs=1e-9)


def test_a_cancelled_one_is_partial(model):
    class Impatient(Silent):
        calls = 0

        def cancelled(self) -> bool:
            self.calls += 1
            return self.calls > 1

    result = patch_positions(model, contrast(1, length=5), PositionPatchConfig(batch=5), Impatient())
    assert result.partial
    assert {row["layer"] for row in result.tables["positions"]} == {0}
    assert math.isnan(result.arrays["effects"][0, 1, 0])


def test_prompts_that_say_the_same_are_refused(model):
    ids = contrast(1).clean
    with pytest.raises(TextError, match="change nothing"):
        patch_positions(model, Contrast.of_ids(ids, ids, 3, 4))
