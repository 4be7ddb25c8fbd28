"""`reproduce codebooks` from training to table, on runs of a few steps."""

import pytest
import torch

from workbench.core import ArtifactError, ConfigError, Silent, registry
from workbench.evaluation import AutomatonEvalConfig
from workbench.recipes import (
    AutomatonRun,
    ReproduceConfig,
    automaton_runs,
    open_run,
    reproduce,
    reproduce_codebooks as module,
    save_run,
    train_automaton,
)
from workbench.workspace import Workspace

PLAIN = AutomatonRun(name="scaled-plain", paper=False, tokens=0.012, batch=2)
CODES = AutomatonRun(
    name="scaled-both-k1", paper=False, attention=20, mlp=30, tokens=0.006, batch=2, published="attn+MLP, k=1, C=10k"
)


@pytest.fixture
def small_runs(monkeypatch):
    monkeypatch.setitem(registry._entries, "automaton run", {run.name: run for run in (PLAIN, CODES)})
    config = AutomatonEvalConfig(loss_sequences=8, free_samples=4, code_sequences=8, pairs=12, bootstrap=20)
    monkeypatch.setattr(module, "AutomatonEvalConfig", lambda: config)
    monkeypatch.setattr("workbench.recipes.automaton._SAMPLE", 8)


@pytest.mark.slow
def test_from_scratch_to_the_table_and_again_without_training(tmp_path, small_runs):
    place, config = Workspace(tmp_path), ReproduceConfig(from_scratch=True, runs="scaled-both-k1", save=tmp_path / "a")
    first = reproduce(place, "codebooks", config)
    (row,) = first.tables["models"]
    assert row["above_floor_low"] <= row["above_floor"] == pytest.approx(row["loss"] - row["floor"])
    assert (row["paper_loss"], row["paper_state_accuracy"]) == (1.269, 0.6365)
    assert row["million_tokens"] == pytest.approx(0.01024)
    assert {purity["kind"] for purity in first.tables["purity"]} == {"attn_z", "mlp_out"}
    none = [patch for patch in first.tables["interventions"] if patch["patch"] == "none"]
    assert [patch["divergence"] for patch in none] == [1.0, 1.0]
    assert {code["paper_codes"] for code in first.tables["codes"]} <= {0.971}
    again = reproduce(place, "codebooks", config)
    assert again.tables == first.tables
    assert first.to_json()["params"] == {"name": "codebooks"}


@pytest.mark.slow
def test_a_run_is_small_on_disk_and_opens_as_it_was(tmp_path, small_runs):
    trained = train_automaton("scaled-both-k1", tmp_path / "runs")
    save_run(CODES, trained, tmp_path / "saved")
    subject, details = open_run("scaled-both-k1", tmp_path / "saved")
    assert all(path.stat().st_size < 8e6 for path in (tmp_path / "saved").rglob("*") if path.is_file())
    assert details["curve"][-1]["tokens"] == details["tokens"]
    ids = subject.automaton.sample(4, seed=0)
    with torch.no_grad():
        expected = trained.module.model.run(ids, trained.module.edits, weights=trained.weights).logits
        found = subject.model.run(ids, subject.edits).logits
    assert float((found.softmax(2) - expected.softmax(2)).abs().mean()) < 5e-3
    with pytest.raises(ArtifactError):
        open_run("scaled-plain", tmp_path / "saved")


def test_a_model_with_codes_goes_on_from_the_plain_one(tmp_path, small_runs):
    plain = train_automaton("scaled-plain", tmp_path)
    start = train_automaton("scaled-both-k1", tmp_path).module
    assert start.weights().keys() == plain.weights.keys()
    moved = (start.weights()["embed.W_E"] - plain.weights["embed.W_E"]).abs().max()
    assert 0 < float(moved.detach()) < 0.05
    assert [str(codec.reads[0]) for codec in start.dictionaries()][:2] == ["attn_z.0", "mlp_out.0"]


def test_the_runs_hold_the_papers_sizes():
    runs = {run.name: run for run in automaton_runs()}
    assert runs["paper-plain"].tokens >= 30
    assert all(run.tokens >= 5 for run in runs.values() if run.paper)
    assert (runs["paper-attn-k1"].attention, runs["paper-attn-k1"].k, runs["paper-attn-k1"].mlp) == (2000, 1, 0)
    assert {run.k for run in runs.values() if run.mlp and not run.paper} == {1, 4, 16}
    assert {run.published for run in runs.values() if run.published} <= set(module.TABLE_1)


def test_unknown_names_are_told(tmp_path):
    with pytest.raises(ConfigError, match="codebooks"):
        reproduce(Workspace(tmp_path), "codebook")
    with pytest.raises(ConfigError, match="unknown automaton run"):
        reproduce(Workspace(tmp_path), "codebooks", ReproduceConfig(runs="scaled-plan"), Silent())
