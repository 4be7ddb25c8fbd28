"""Validation: predictions against runs of the hooked model, and against slow references of the same runs."""

import math

import pytest
import torch
from circuits.small_circuits import DIFFERENCE, FAMILIES, IDS, random_analysis, random_dictionaries

from workbench.circuits import Measurements, ValidateConfig, agreement, band_table, trace, validate
from workbench.core import Edit, Result, Silent, Site

CONFIG = ValidateConfig(singles=8, exact=8, exact_drawn=0, sizes=(2, 5, 10_000), random_groups=2, batch=7)


@pytest.fixture(scope="module")
def validated():
    model, dictionaries, analysis = random_analysis("llama")
    graph = trace(model, dictionaries, IDS, DIFFERENCE)
    result = validate(model, dictionaries, graph, CONFIG, untrained=random_dictionaries(model, seed=9))
    return model, dictionaries, analysis, graph, result


@pytest.mark.parametrize("dictionary", ["topk-transcoder", "topk-skip-transcoder", "cross-layer-transcoder"])
@pytest.mark.parametrize("family", FAMILIES)
def test_direct_and_total_agree_with_theory_in_float64(family, dictionary):
    model, dictionaries, _ = random_analysis(family, dictionary=dictionary)
    graph = trace(model, dictionaries, IDS, DIFFERENCE)
    result = validate(model, dictionaries, graph, ValidateConfig(singles=0, exact=8, exact_drawn=8, sizes=()))
    assert result.scalars["exact_direct_worst_ratio"] < 1e-9
    assert result.scalars["exact_total_worst_ratio"] < 1e-9
    assert result.scalars["exact_edges_worst_ratio"] < 1e-9
    exact = result.df("exact")
    assert set(exact["mode"]) == {"direct", "total"}
    assert (exact["measured"].abs() > 1e-6).mean() > 0.5


def test_direct_and_total_agree_in_float32():
    model, dictionaries, _ = random_analysis("qwen2", torch.float32)
    graph = trace(model, dictionaries, IDS, DIFFERENCE)
    result = validate(model, dictionaries, graph, ValidateConfig(singles=0, exact=8, exact_drawn=8, sizes=()))
    assert max(result.scalars[f"exact_{mode}_worst_ratio"] for mode in ("direct", "edges", "total")) < 1e-3


def test_a_wrong_prediction_is_noticed(monkeypatch):
    from workbench.circuits import Analysis

    model, dictionaries, _ = random_analysis("llama")
    graph = trace(model, dictionaries, IDS, DIFFERENCE)
    right = Analysis.unit
    monkeypatch.setattr(Analysis, "unit", lambda self, node: (right(self, node)[0], 0))
    result = validate(model, dictionaries, graph, ValidateConfig(singles=0, exact=20, sizes=()))
    assert result.scalars["exact_total_worst_ratio"] > 1e-3


def test_free_and_frozen_singles_are_single_runs_of_the_model(validated):
    model, _, analysis, graph, result = validated
    place = {name: number for number, name in enumerate(analysis.ids())}
    seen = model.capture(IDS, [Site("attn_pattern", 0), Site("attn_pattern", 1), "ln1_scale.0", "ln1_scale.1"])
    seen |= model.capture(IDS, ["ln2_scale.0", "ln2_scale.1", "lnf_scale"])
    held = [Edit.set(site, value) for site, value in seen.items()]
    for row in result.tables["single"][:4]:
        units, number = analysis.unit(place[row["node"]])
        delta = torch.zeros_like(analysis.frozen.embed)
        delta[row["position"]] = -units.writes(units.layer)[number]
        removal = Edit.add(Site("mlp_out", row["layer"]), delta)
        for measure, edits in (("free", []), ("frozen", held)):
            logits = model.run(IDS, [*edits, removal]).logits[0, -1]
            change = float(logits[3] - logits[4]) - graph.metric_value
            assert row[measure] == pytest.approx(change, abs=1e-10)


def test_groups_are_the_strongest_supporters_beside_their_controls(validated):
    model, _, analysis, graph, result = validated
    groups = result.df("groups")
    assert groups.groupby("set").size().to_dict() == {"trained": 2, "random": 4, "untrained": 2}
    sign = math.copysign(1, graph.metric_value)
    support = sorted((sign * graph.nodes[i].effect for i in graph.find("feature")), reverse=True)
    trained = groups[groups["set"] == "trained"].set_index("n")
    for n in (2, 5):
        predicted = graph.metric_value - sign * sum(support[:n])
        assert trained.loc[n, "predicted"] == pytest.approx(predicted, abs=1e-6)
        assert result.scalars[f"drop_trained_{n}_frozen"] == pytest.approx(
            graph.metric_value - trained.loc[n, "frozen"]
        )
    random = groups[groups["set"] == "random"]
    assert random["frozen"].nunique() == len(random)
    top = analysis.unit_nodes[(sign * analysis.total[analysis.unit_nodes]).argsort(descending=True)][:5]
    alone = Measurements(model, analysis, 3, Silent()).metric([top], "free")
    assert float(alone[0]) == pytest.approx(trained.loc[5, "free"], abs=1e-10)


def test_tables_are_complete_and_survive_their_folder(validated, tmp_path):
    *_, result = validated
    single = result.df("single")
    assert single.groupby("set").size().to_dict() == {"trained": 8, "random": 8, "untrained": 8}
    assert not single.isna().any().any()
    directions = result.df("directions")
    assert len(directions) == 8
    assert not directions.isna().any().any()
    bands = result.df("bands")
    assert set(bands[bands["band"] == "all"]["set"]) == {"trained", "random", "untrained"}
    assert result.kind == "validation"
    assert not result.partial
    result.save(tmp_path / "validation")
    assert Result.load(tmp_path / "validation").id == result.id


def test_directions_take_out_as_much_as_the_feature_wrote(validated):
    model, _, analysis, graph, result = validated
    row = result.tables["directions"][0]
    units, number = analysis.unit(analysis.ids().index(row["node"]))
    error = units.error[row["position"]]
    delta = torch.zeros_like(analysis.frozen.embed)
    delta[row["position"]] = -error * (units.writes(units.layer)[number].norm() / error.norm())
    logits = model.run(IDS, [Edit.add(Site("mlp_out", row["layer"]), delta)]).logits[0, -1]
    assert row["free"] == pytest.approx(float(logits[3] - logits[4]) - graph.metric_value, abs=1e-10)


def test_the_same_seed_gives_the_same_result(validated):
    model, dictionaries, _, graph, result = validated
    again = validate(model, dictionaries, graph, CONFIG, untrained=random_dictionaries(model, seed=9))
    assert again.id == result.id


def test_cancelled_validation_keeps_what_it_has(validated):
    model, dictionaries, _, graph, _ = validated

    class AfterTwo(Silent):
        calls = 0

        def cancelled(self) -> bool:
            self.calls += 1
            return self.calls > 2

    result = validate(model, dictionaries, graph, CONFIG, progress=AfterTwo())
    assert result.partial
    assert result.df("exact")["measured"].notna().any()
    assert result.df("single")["free"].isna().any()


def test_agreement_on_known_numbers():
    found = agreement([1.0, 2.0, -1.0, 4.0], [2.0, 4.0, -2.0, 8.0])
    assert found["r"] == pytest.approx(1)
    assert found["rho"] == pytest.approx(1)
    assert found["sign"] == 1
    assert found["slope"] == pytest.approx(2)
    assert agreement([1, 2, 3], [1, 4, 1000])["rho"] == pytest.approx(1)
    assert agreement([1, 2, 3], [1, 4, 1000])["r"] < 0.95
    assert agreement([1, -2, 3], [-1, 2, -3])["sign"] == 0
    assert math.isnan(agreement([1], [1])["r"])
    assert math.isnan(agreement([], [])["sign"])


def test_bands_divide_the_layers():
    rows = [
        {"set": "trained", "layer": layer, "predicted": 1.0 * layer, "predicted_direct": 0.5 * layer}
        | {"frozen": 2.0 * layer, "free": -1.0 * layer}
        for layer in range(30)
    ]
    table = band_table(rows, 30)
    assert [row["band"] for row in table] == ["all", "0-2", "3-9", "10-19", "20-29"]
    assert [row["n"] for row in table] == [30, 3, 7, 10, 10]
    assert table[4]["slope_frozen"] == pytest.approx(2)
    assert table[4]["r_free"] == pytest.approx(-1)
