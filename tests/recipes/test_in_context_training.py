from functools import partial
from types import SimpleNamespace

import pytest
import torch

from workbench.core import ConfigError
from workbench.data import RegressionConfig, draw_contexts
from workbench.recipes import ReproduceConfig, in_context, in_context_runs, reproduce, reproduce_in_context
from workbench.recipes.in_context import new_in_context, open_in_context, save_in_context, train_in_context
from workbench.recipes.in_context_measures import compare_run, nearest_penalty
from workbench.recipes.in_context_runs import RUNS, InContextRun, in_context_run
from workbench.workspace import Workspace
from workbench_probes import InContextConfig, reference_predictors, ridge

TASK = RegressionConfig(size=2, pairs=5)
WHOLE = InContextRun(name="represented", layers=3, task=TASK, steps=6, batch=4, width=8)
PASTED = InContextRun(name="pasted", layers=2, task=TASK, start="represented", frozen=True, steps=6, batch=4, width=8)


@pytest.fixture
def tiny(monkeypatch):
    monkeypatch.setattr(in_context, "in_context_run", {run.name: run for run in (WHOLE, PASTED)}.get)


def test_pasted_blocks_are_the_upper_ones_and_stay_while_the_embedding_moves(tmp_path, tiny):
    pasted, trained = train_in_context(PASTED, tmp_path)
    assert not trained.partial
    whole, _ = train_in_context(WHOLE, tmp_path)
    for own, theirs in zip(pasted.blocks.layers, list(whole.blocks.layers)[1:], strict=True):
        for a, b in zip(own.parameters(), theirs.parameters(), strict=True):
            assert torch.equal(a, b)
    assert not torch.equal(pasted.read.weight, whole.read.weight)
    save_in_context(PASTED, pasted, trained, tmp_path / "saved")
    opened = open_in_context("pasted", tmp_path / "saved")
    x, y, _ = draw_contexts(TASK, 3, 0)
    torch.testing.assert_close(opened(x, y), pasted.eval()(x, y), atol=0.02, rtol=0.02)


def test_the_runs_are_the_sweeps_of_the_paper():
    runs = {run.name: run for run in RUNS}
    assert sorted(run.layers for name, run in runs.items() if name.startswith("depth")) == [1, 2, 4, 6]
    assert {run.task.noise for run in RUNS} == set(reproduce_in_context.SPD_RIDGE)
    assert runs["control"].task.weights == "ones"
    assert all(not run.start or run.start in runs for run in RUNS)
    with pytest.raises(ConfigError, match="depth-2"):
        in_context_run("depth-22")


@pytest.mark.parametrize("noise", [0.0, 0.25])
def test_the_bayes_predictor_is_found_to_be_what_it_is(noise):
    model = SimpleNamespace(query=partial(ridge, penalty=noise) if noise else reference_predictors()["least squares"])
    run = InContextRun(name="some", task=RegressionConfig(noise=noise))
    config = InContextConfig(contexts=96, lengths=(2, 8), bootstrap=100)
    compared = compare_run(run, model, config)  # pyright: ignore[reportArgumentType]
    assert compared.rows(config)[0]["predictor"] == ("ridge 0.25" if noise else "least squares")
    assert compared.error["error"] == pytest.approx(compared.best["error"], rel=1e-6)
    row = nearest_penalty(compared, config)
    assert row["nearest_penalty"] == pytest.approx(noise, rel=0.15)
    assert row["nearest_penalty_low"] <= row["nearest_penalty"] <= row["nearest_penalty_high"]


def test_a_start_is_the_same_for_the_same_seed_and_moves_no_other_draw():
    torch.manual_seed(3)
    before = torch.rand(1)
    torch.manual_seed(3)
    first, second = new_in_context(WHOLE), new_in_context(WHOLE)
    assert torch.equal(torch.rand(1), before)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


@pytest.mark.slow
def test_from_scratch_to_the_table(tmp_path, monkeypatch):
    runs = tuple(run.model_copy(update={"steps": 4, "batch": 8}) for run in RUNS)
    chosen = {run.name: run for run in runs}
    for module in (in_context_runs, reproduce_in_context):
        monkeypatch.setattr(module, "RUNS", runs)
    monkeypatch.setattr(in_context, "in_context_run", chosen.get)
    small = InContextConfig(contexts=24, bootstrap=20, probe_contexts=64, probe_steps=3)
    monkeypatch.setattr(reproduce_in_context, "InContextConfig", lambda: small)
    place, config = Workspace(tmp_path), ReproduceConfig(from_scratch=True)
    found = reproduce(place, "in-context", config)
    assert [row["layers"] for row in found.tables["models"] if row["model"].startswith("depth")] == [4, 1, 2, 6]
    assert {row["noise"] for row in found.tables["penalties"]} == set(reproduce_in_context.SPD_RIDGE)
    assert {row["layer"] for row in found.tables["probes"]} == set(range(5))
    assert [row["model"] for row in found.tables["pasting"]] == ["pasted", "pasted-random", "depth-2"]
    assert all(row["low"] <= row["ours"] <= row["high"] for row in found.tables["summary"])


@pytest.mark.slow
def test_the_shipped_models_are_measured(tmp_path):
    found = reproduce(Workspace(tmp_path), "in-context")
    nearest = {row["layers"]: row["predictor"] for row in reversed(found.tables["depth"])}
    assert nearest[1] == "always 0"
    assert nearest[4].startswith("ridge")
    noisy = sorted((row for row in found.tables["penalties"] if row["layers"] == 4), key=lambda row: row["noise"])
    penalties = [row["nearest_penalty"] for row in noisy]
    assert penalties == sorted(set(penalties))
    assert all(row["spd_own_ridge"] < row["spd_least_squares"] for row in noisy if row["noise"])
