"""Faithfulness curves, areas, completeness, minimality and circuit files against sums done by hand."""

import json

import numpy as np
import pytest
import torch
from circuits.small_components import build_hooked, pair_of

from workbench.circuits import (
    AcdcConfig,
    AttributionConfig,
    CircuitCheckConfig,
    Components,
    FaithfulnessConfig,
    PatchConfig,
    acdc,
    attribution_patch,
    auroc,
    check_circuit,
    compare_scores,
    eap,
    faithfulness,
    mean_difference,
    patch,
    random_scores,
    read_circuit,
    truth_auroc,
    write_circuit,
)
from workbench.core import ArtifactError, ConfigError, Result

FRACTIONS = (0.0, 0.05, 0.3, 1.0)
CONFIG = FaithfulnessConfig(fractions=FRACTIONS, random_circuits=4, bootstrap=50, batch=2)


@pytest.fixture(scope="module")
def scored():
    model, some, slow = pair_of("llama")
    return model, some, slow, eap(model, some, AttributionConfig(method="plain"))


def area(heights: list[float], fractions=FRACTIONS) -> float:
    steps = zip(fractions[1:], fractions, heights[1:], heights, strict=False)
    return sum((high - low) * (a + b) / 2 for high, low, a, b in steps)


@torch.no_grad()
def test_curves_and_areas_are_those_of_kept_circuits(scored):
    model, some, slow, scores = scored
    result = faithfulness(model, some, {"eap": scores}, CONFIG)
    rows = {row["edge"]: row["score"] for row in scores.tables["edges"]}
    names = list(slow.components.edges)
    full, empty = (slow.metric(slow.reference()(ids), some).mean() for ids in (some.clean, some.corrupted))
    (areas,) = [row for row in result.tables["areas"] if row["scorer"] == "eap"]
    for selection, key in (("signed", lambda name: -rows[name]), ("absolute", lambda name: -abs(rows[name]))):
        curve = [row for row in result.tables["curve"] if row["selection"] == selection]
        order = sorted(names, key=key)
        for row, fraction in zip(curve, FRACTIONS, strict=True):
            assert row["size"] == int(fraction * len(names))
            keep = dict.fromkeys(names, 0.0) | dict.fromkeys(order[: row["size"]], 1.0)
            wanted = (slow.edge_run(some, keep).mean() - empty) / (full - empty)
            assert row["faithfulness"] == pytest.approx(float(wanted), abs=1e-8)
        heights = [row["faithfulness"] for row in curve]
        if selection == "signed":
            assert areas["cpr"] == pytest.approx(area(heights))
        else:
            assert areas["cmd"] == pytest.approx(area([abs(1 - height) for height in heights]))
    assert heights[0] == pytest.approx(0, abs=1e-9)
    assert heights[-1] == pytest.approx(1)
    (random,) = [row for row in result.tables["areas"] if row["scorer"] == "random circuits"]
    assert random["cpr_low"] <= random["cpr"] <= random["cpr_high"]
    assert areas["cpr_low"] <= areas["cpr_high"]
    assert [row["size"] for row in result.tables["random"]] == [row["size"] for row in curve]


def test_a_perfect_scorer_has_the_areas_that_mib_says(scored, monkeypatch):
    """f = 1 at every size: CPR 0.999 and CMD 0 over the standard fractions, which begin at 0.001."""
    from workbench.circuits.circuit_runs import CircuitRuns

    model, some, _, scores = scored
    ones = lambda self, value, weights=None: np.ones(() if weights is None else len(weights))  # noqa: E731
    monkeypatch.setattr(CircuitRuns, "faithfulness", ones)
    (row,) = faithfulness(model, some, {"eap": scores}, FaithfulnessConfig(random_circuits=0)).tables["areas"]
    assert row["cmd"] == 0
    assert row["cpr"] == pytest.approx(0.999)


def test_circuits_of_nodes(scored):
    model, some, slow, _ = scored
    scores = attribution_patch(model, some)
    config = CONFIG.model_copy(update={"level": "node"})
    result = faithfulness(model, some, {"attribution": scores}, config)
    curve = [row for row in result.tables["curve"] if row["selection"] == "signed"]
    assert [row["size"] for row in curve] == [0, 0, 3, 10]
    components = slow.components
    best = sorted(components.sources[1:], key=lambda name: -dict(_pairs(scores))[name])[:3]
    flags = torch.tensor([name in (*best, "input") for name in components.sources])
    keep = components.keep_nodes(flags)[components.allowed].double().tolist()
    wanted = slow.edge_run(some, dict(zip(components.edges, keep, strict=True))).mean()
    full, empty = (slow.metric(slow.reference()(ids), some).mean() for ids in (some.clean, some.corrupted))
    assert curve[2]["faithfulness"] == pytest.approx(float((wanted - empty) / (full - empty)), abs=1e-8)
    with pytest.raises(ConfigError, match="no scores of edges"):
        faithfulness(model, some, {"attribution": scores}, CONFIG)


def _pairs(result: Result) -> list[tuple[str, float]]:
    return [(row["node"], row["score"]) for row in result.tables["nodes"]]


@torch.no_grad()
def test_completeness_and_minimality(scored):
    model, some, slow, scores = scored
    config = CircuitCheckConfig(fraction=0.3, subsets=2, nodes=3)
    result = check_circuit(model, some, scores, config)
    rows = {row["edge"]: row["score"] for row in scores.tables["edges"]}
    names = list(slow.components.edges)
    circuit = set(sorted(names, key=lambda name: -abs(rows[name]))[: int(0.3 * len(names))])
    full, empty = (float(slow.metric(slow.reference()(ids), some).mean()) for ids in (some.clean, some.corrupted))

    def without(kept: set[str], nodes: list[str]) -> float:
        keep = {name: float(name in kept and name.split("->")[0] not in nodes) for name in names}
        return float(slow.edge_run(some, keep).mean())

    for row in result.tables["completeness"]:
        gone = row["removed"].split()
        assert len(gone) == row["nodes"]
        gap = (without(circuit, gone) - without(set(names), gone)) / (full - empty)
        assert row["gap"] == pytest.approx(gap, abs=1e-8)
    value = without(circuit, [])
    for row in result.tables["minimality"]:
        assert row["change"] == pytest.approx((value - without(circuit, [row["node"]])) / (full - empty), abs=1e-8)
    assert result.scalars["faithfulness"] == pytest.approx((value - empty) / (full - empty), abs=1e-8)
    everything = check_circuit(model, some, scores, CircuitCheckConfig(fraction=1.0, subsets=2, nodes=0))
    assert everything.scalars["incompleteness"] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("size", [None, 20])
def test_circuit_files_are_read_as_they_were_written(scored, tmp_path, size):
    model, _, slow, scores = scored
    path = tmp_path / "circuit.json"
    write_circuit(path, model, scores, size)
    found, keep = read_circuit(path, slow.components)
    assert found.tables["edges"] == scores.tables["edges"]
    assert found.tables["nodes"] == scores.tables["nodes"]
    assert int(keep.sum()) == (size or len(slow.components.edges))
    data = json.loads(path.read_text())
    assert data["cfg"] == {"n_layers": 2, "n_heads": 4, "parallel_attn_mlp": False, "d_model": 24}
    # MIB counts a key and a value input for every query head: 2 layers x (4 heads x 3 readers) plus MLPs and logits.
    assert len(data["edges"]) == 12 * 1 + 5 + 12 * 6 + 10 + 11
    assert data["edges"]["a0.h1->a1.h3<k>"] == data["edges"]["a0.h1->a1.h2<k>"]
    assert data["nodes"]["logits"] == {"in_graph": True}


def test_the_search_writes_what_it_kept(tmp_path):
    model, some, slow = pair_of("llama", 1)
    result = acdc(model, some, AcdcConfig(threshold=0.1))
    write_circuit(tmp_path / "c.json", model, result)
    _, keep = read_circuit(tmp_path / "c.json", slow.components)
    assert int(keep.sum()) == result.scalars["edges"]


def test_damaged_and_foreign_circuit_files_are_refused(tmp_path):
    path = tmp_path / "circuit.json"
    components = Components(1, 2, 2)
    config = {"n_layers": 1, "n_heads": 2, "parallel_attn_mlp": False, "d_model": 8}
    good = {"cfg": config, "nodes": {}, "edges": {"input->a0.h1<k>": {"score": -2.0, "in_graph": True}}}
    path.write_text(json.dumps(good))
    result, keep = read_circuit(path, components)
    assert int(keep.sum()) == 1
    assert sum(row["score"] for row in result.tables["edges"]) == -2.0
    broken = [
        "{",
        "[]",
        json.dumps({"cfg": config, "nodes": {}}),
        json.dumps(good | {"cfg": config | {"n_layers": 3}}),
        json.dumps(good | {"cfg": config | {"parallel_attn_mlp": True}}),
        json.dumps(good | {"edges": {"a0.h0->a0.h1<q>": {"score": 1}}}),
        json.dumps(good | {"edges": {"input->m0": {"score": "much"}}}),
        json.dumps(good | {"edges": {"input->m0": 3}}),
    ]
    for text in broken:
        path.write_text(text)
        with pytest.raises(ArtifactError):
            read_circuit(path, components)
    with pytest.raises(ArtifactError):
        read_circuit(tmp_path / "none.json", components)


def test_auroc_counts_pairs():
    draw = np.random.default_rng(0)
    scores, labels = draw.integers(0, 5, 30).astype(float), draw.random(30) < 0.4
    pairs = [(a > b) + 0.5 * (a == b) for a in scores[labels] for b in scores[~labels]]
    assert auroc(scores, labels) == pytest.approx(np.mean(pairs))
    assert np.isnan(auroc([1.0, 2.0], [True, True]))
    result = Result("x", tables={"edges": [{"edge": "a", "score": -3.0}, {"edge": "b", "score": 1.0}]})
    assert truth_auroc(result, {"a"}) == 1
    assert truth_auroc(result, {"a"}, absolute=False) == 0


def test_scores_are_compared_with_exact_effects(scored):
    model, some, _, scores = scored
    exact = patch(model, some, PatchConfig(bootstrap=0))
    baseline = mean_difference(model, some)
    rows = compare_scores(exact, {"exact": exact, "eap": scores, "baseline": baseline, "chance": random_scores(model)})
    found = {row["scorer"]: row for row in rows}
    assert found["exact"]["rho"] == pytest.approx(1)
    assert found["exact"]["auroc"] == 1
    assert found["eap"]["rho_low"] <= found["eap"]["rho"] <= found["eap"]["rho_high"]
    assert found["exact"]["auroc_low"] == found["exact"]["auroc_high"] == 1
    assert set(found) == {"exact", "eap", "baseline", "chance"}


def test_the_baseline_is_the_distance_of_mean_outputs(scored):
    model, some, slow, _ = scored
    outputs = []
    for ids in (some.clean, some.corrupted):
        run = slow.reference()
        run(ids)
        outputs.append(slow.outputs(run))
    found = dict(_pairs(mean_difference(model, some)))
    for name in ("input", "a0.h2", "m1"):
        wanted = (outputs[0][name].mean((0, 1)) - outputs[1][name].mean((0, 1))).norm()
        assert found[name] == pytest.approx(float(wanted), rel=1e-6)


def test_settings_that_contradict_themselves_are_refused():
    for wrong in ({"fractions": (0.5, 0.1)}, {"fractions": (0.1,)}, {"fractions": (0.1, 1.5)}):
        with pytest.raises(ValueError, match="fractions"):
            FaithfulnessConfig.model_validate(wrong)
    with pytest.raises(ValueError, match="resample"):
        PatchConfig(direction="denoising", ablation="zero")
    assert build_hooked("gpt2")[0].shape.n_layers == 2
