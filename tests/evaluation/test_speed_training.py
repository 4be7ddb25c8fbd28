"""The benchmark of training steps: its ways do the same work, so that their times may be compared."""

import pytest
import torch

from workbench.dictionaries import coder
from workbench.evaluation import TrainingBenchConfig, bench_training
from workbench.evaluation.speed import training
from workbench.evaluation.speed.comparison import Operands

SMALL = TrainingBenchConfig(rows=(40,), features=(300,), width=12, k=4, rounds=2)


def cases(config: TrainingBenchConfig = SMALL):
    ((n, f),) = config.shapes()
    found = training._comparison(config, Operands(0, torch.device("cpu")), n, f).cases
    return {case.name: case for case in found}


def test_a_row_for_every_way():
    result = bench_training(SMALL)
    names = [row["case"] for row in result.tables["training"]]
    assert {"TopK", "TopK, float32 only", "TopK, row-sparse Adam", "TopK, AuxK on a tenth", "BatchTopK"} <= set(names)
    assert {row["floor"] for row in result.tables["training"]} == {"bare product"}
    assert all(row["ratio_plain"] > 0 for row in result.tables["training"])
    assert any("d / 2 features in a row of the 10 %" in note for note in result.notes)


@pytest.mark.parametrize("name", ["TopK", "TopK, float32 only"])
def test_the_plain_step_ends_in_the_same_weights(name: str, monkeypatch: pytest.MonkeyPatch):
    learners = {}
    made = training.Learner

    def kept(title: str, *rest, **more):
        learners[title] = made(title, *rest, **more)
        return learners[title]

    monkeypatch.setattr(training, "Learner", kept)
    ways = cases()
    start = learners[name].module.W_enc.detach().clone()
    for _ in range(3):
        ways[name].call()
        ways[training.PLAIN].call()
    own, plain = learners[name].module, learners[training.PLAIN].module
    assert not torch.equal(own.W_enc, start)
    for weight in ("W_enc", "b_enc", "W_dec", "b_dec"):
        torch.testing.assert_close(
            getattr(own, weight).detach(), getattr(plain, weight).detach(), rtol=1e-3, atol=1e-5, msg=weight
        )
    assert torch.equal(own.rows_since_fired, plain.rows_since_fired)
    torch.testing.assert_close(own.W_dec.norm(dim=1), torch.ones(300))


def test_a_tenth_is_dead_where_auxk_is_measured(monkeypatch: pytest.MonkeyPatch):
    seen = []
    way = cases()["TopK, AuxK on a tenth"]
    whole = coder.auxiliary_loss

    def watched(x, encoder, *rest):
        seen.append((len(encoder), rest[-1]))
        return whole(x, encoder, *rest)

    monkeypatch.setattr(coder, "auxiliary_loss", watched)
    assert way.prepare is not None
    way.prepare()
    way.call()
    assert seen == [(30, 6)]
