"""The group effect: its formula against single runs, what earns nothing, and that it is on every graph."""

import pytest
import torch
from circuits.small_circuits import DIFFERENCE, IDS, random_analysis

from workbench.circuits import Measurements, TraceConfig, analyse, group_effect, trace
from workbench.circuits.group_effect import RANDOM_GROUPS, SIZES
from workbench.core import Silent, generator


@pytest.fixture(scope="module")
def analysed():
    return random_analysis("llama")


def test_the_formula_against_runs_of_the_model(analysed):
    model, dictionaries, analysis = analysed
    found = group_effect(model, analysis, Silent())
    sign, size = (1 if analysis.value > 0 else -1), abs(analysis.value)
    support = sign * analysis.total[analysis.unit_nodes]
    order = analysis.unit_nodes[support.argsort(descending=True, stable=True)]
    runs, wanted = Measurements(model, analysis, 1, Silent()), []
    base = float(runs.metric([order[:0]], "frozen")[0])
    for n in SIZES:
        measured = sign * (base - float(runs.metric([order[:n]], "frozen")[0])) / size
        predicted = float(support.topk(n).values.sum()) / size
        draws = [
            torch.randperm(len(order) - n, generator=generator(0, "group effect", n, i))[:n]
            for i in range(RANDOM_GROUPS)
        ]
        random = [abs(base - float(runs.metric([order[n:][draw]], "frozen")[0])) / size for draw in draws]
        wanted.append(min(max(min(predicted, measured) - sum(random) / RANDOM_GROUPS, 0.0), 1.0))
    assert found["group_effect"] == pytest.approx(sum(wanted) / len(SIZES))
    assert trace(model, dictionaries, IDS, DIFFERENCE).scores["group_effect"] == found["group_effect"]
    quick = trace(model, dictionaries, IDS, DIFFERENCE, TraceConfig(interventions=False))
    assert "group_effect" not in quick.scores


def test_what_is_predicted_and_not_measured_earns_nothing(analysed, monkeypatch):
    model, _, analysis = analysed
    honest = group_effect(model, analysis, Silent())
    right = Measurements.metric
    monkeypatch.setattr(
        Measurements, "metric", lambda self, groups, mode: right(self, groups, mode)[:1].expand(len(groups))
    )
    found = group_effect(model, analysis, Silent())
    assert found["group_effect"] == 0
    assert found["group_predicted"] == honest["group_predicted"] > 0
    monkeypatch.setattr(Measurements, "metric", lambda self, groups, mode: right(self, groups, mode) * float("nan"))
    found = group_effect(model, analysis, Silent())
    assert found["group_effect"] == 0
    assert found["group_diverged"] == len(SIZES)


def test_no_features_earn_nothing(analysed):
    model, dictionaries, _ = analysed
    analysis = analyse(model, dictionaries.affine_only(), IDS, DIFFERENCE)
    assert set(group_effect(model, analysis, Silent()).values()) == {0.0}
