"""The lazy-neuron experiments: what controls exchange, calibration by hand, tables from measured runs."""

import json

import pytest
import torch

from workbench.core import ConfigError, Silent, TextRef
from workbench.data import PackedText
from workbench.recipes import ReproduceConfig
from workbench.recipes.lazy_neuron import TARGETS, ControlRows
from workbench.recipes.lazy_neuron_measures import calibration_error
from workbench.recipes.lazy_neuron_runs import LazyRun, lazy_run
from workbench.recipes.reproduce_lazy_neuron import reproduce_lazy_neuron
from workbench.training import TOKENS

IDS = torch.arange(2, 2 + 200).reshape(20, 10) % 90 + 2


@pytest.fixture
def text():
    lengths = torch.full((20,), 10)
    ref = TextRef(id="numbers", hash="h", split="train")
    return PackedText(IDS.int(), lengths, torch.zeros(20, dtype=torch.int32), ["a"], ref)


def chunks(text, **settings):
    run = LazyRun(name="x", batch=2, **settings)
    return list(ControlRows(text, run, 2, 98).chunks())


def test_plain_targets_are_the_next_characters(text):
    for chunk in chunks(text):
        ids, targets = chunk.inputs[TOKENS], chunk.inputs[TARGETS]
        assert torch.equal(ids, IDS[chunk.row_ids])
        assert torch.equal(targets[:, :-1], ids[:, 1:])
        assert (targets[:, -1] == -100).all()


def test_controls_exchange_one_side_and_never_change_their_mind(text):
    first, second = chunks(text, targets="random labels")
    order, other = first.row_ids.argsort(), second.row_ids.argsort()
    assert torch.equal(first.inputs[TOKENS], IDS[first.row_ids])
    assert torch.equal(first.inputs[TARGETS][order], second.inputs[TARGETS][other])
    assert (first.inputs[TARGETS][order][:, :-1] != IDS[:, 1:]).float().mean() > 0.9
    first, second = chunks(text, targets="random inputs")
    assert torch.equal(first.inputs[TARGETS][:, :-1], IDS[first.row_ids][:, 1:])
    assert (first.inputs[TOKENS][:, 1:] != IDS[first.row_ids][:, 1:]).float().mean() > 0.9
    assert torch.equal(first.inputs[TOKENS][first.row_ids.argsort()], second.inputs[TOKENS][second.row_ids.argsort()])


def test_label_noise_changes_its_share(text):
    (first, _) = chunks(text, label_noise=0.4)
    changed = (first.inputs[TARGETS][:, :-1] != IDS[first.row_ids][:, 1:]).float().mean().item()
    assert changed == pytest.approx(0.4, abs=0.12)


def test_calibration_error_by_hand():
    right = torch.tensor([True, False, True, True])
    assert calibration_error(right, torch.tensor([0.5, 0.5, 0.99, 0.99]), 10) == pytest.approx(0.5 * 0 + 0.5 * 0.01)
    assert calibration_error(~right, torch.ones(4)) == pytest.approx(0.75)


def test_tables_come_from_measured_runs(tmp_path, monkeypatch):
    monkeypatch.setattr("workbench.recipes.reproduce_lazy_neuron.shipped_curves", lambda: tmp_path)
    with pytest.raises(ConfigError, match="no measured run"):
        reproduce_lazy_neuron(tmp_path, ReproduceConfig(), Silent())
    for name, loss, end in (("dense", 2.0, 0.3), ("top-32", 2.1, 0.06)):
        point = {"step": 0, "tokens": 0, "loss": None, "density": [0.5, 0.5]}
        measured = {
            "run": lazy_run(name).model_dump(mode="json"),
            "curve": [point, {**point, "step": 10, "loss": loss, "density": [end, end]}],
            "loss": loss, "accuracy": 0.4, "calibration_error": 0.02, "characters": 100, "documents": 3,
            "density": [end, end + 0.02], "density_train": [end, end], "dead": [0.0, 0.1],
            "under_10_percent": [0.2, 0.3], "over_1_percent": [0.9, 1.0],
            "robustness": [{"noise": "random characters", "amount": 0.1, "loss": 3.0, "accuracy": 0.3}],
        }  # fmt: skip
        (tmp_path / f"{name}.json").write_text(json.dumps(measured))
    found = reproduce_lazy_neuron(tmp_path, ReproduceConfig(), Silent())
    assert [row["run"] for row in found.tables["density"]] == ["dense", "top-32"]
    assert found.tables["density"][0]["end"] == pytest.approx(0.31)
    assert found.tables["top_k"][0]["loss_less_dense"] == pytest.approx(0.1)
    assert len(found.tables["curves"]) == 8
    assert len(found.fig().data) == 2


def test_unknown_runs_are_refused():
    with pytest.raises(ConfigError, match="unknown run 'dens'"):
        lazy_run("dens")
