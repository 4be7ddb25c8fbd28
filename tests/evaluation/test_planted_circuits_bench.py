"""The bench of planted circuits: what it says about methods whose answer is known."""

import math

import pytest

from workbench.circuits import DiscreteSweepConfig
from workbench.core import ConfigError, Interrupted, Silent, get
from workbench.evaluation import PlantedCircuitsConfig, code_sweep, planted_circuits
from workbench.evaluation.planted_circuits import METHODS, area

EXACT = ("activation patching", "EAP-IG", "exact search")


class Stopping(Silent):
    def __init__(self, after: int) -> None:
        self.left = after

    def cancelled(self) -> bool:
        self.left -= 1
        return self.left < 0


def test_area_ignores_signs_and_what_is_always_in_the_circuit():
    rows = [{"node": "input", "score": 9.0}, {"node": "a", "score": -3.0}, {"node": "b", "score": 1.0}]
    assert area(rows, "node", {"a"}, ("input",)) == 1
    assert area(rows, "node", {"b"}, ("input",)) == 0
    assert area([{"node": "a", "score": 1.0}, {"node": "b", "score": 1.0}], "node", {"a"}) == 0.5
    assert math.isnan(area(rows, "node", set()))


@pytest.mark.slow
def test_methods_that_intervene_find_a_planted_circuit_among_echoes():
    config = PlantedCircuitsConfig(models=("planted-lookup",), methods=EXACT, prompts=4, code_prompts=4, graphs=2)
    result = get("benchmark", "planted circuits")(config)
    rows = {(row["distractors"], row["method"]): row for row in result.tables["methods"]}
    assert set(rows) == {(kind, name) for kind in ("others", "echo") for name in (*EXACT, "random")}
    for (_, method), row in rows.items():
        if method == "random":
            assert 0.2 < row["node AUROC"] < 0.8
            assert 0.2 < row["edge AUROC"] < 0.8
        else:
            assert row["node AUROC"] == 1
            assert row["edge AUROC"] >= 0.99
    (graph,) = result.tables["graphs"]
    assert (graph["precision"], graph["recall"], graph["AUROC"]) == (1, 1, 1)
    assert graph["errors"] < 1e-4
    assert result.scalars["edge_auroc_EAP-IG_echo"] == rows["echo", "EAP-IG"]["edge AUROC"]
    assert not result.partial


def test_codes_read_pairs_of_components():
    config = PlantedCircuitsConfig(
        models=("duplicate",), methods=("discrete codes, heads", "mean difference"), distractors="others", graphs=0,
        prompts=2, code_prompts=30,
    )  # fmt: skip
    result = planted_circuits(config)
    rows = {row["method"]: row for row in result.tables["circuits"]}
    assert rows["discrete codes, heads"]["node AUROC"] > 0.9
    assert not math.isnan(rows["discrete codes, heads"]["edge AUROC"])
    assert rows["mean difference"]["node AUROC"] > 0.9
    assert "graphs" not in result.tables


def test_a_cancelled_bench_gives_what_it_has_or_says_so():
    config = PlantedCircuitsConfig(models=("lookup",), methods=("EAP",), distractors="others", prompts=2, graphs=1)
    partial = planted_circuits(config.model_copy(update={"graphs": 3}), Stopping(after=4))
    assert partial.partial
    assert partial.tables["circuits"]
    with pytest.raises(Interrupted):
        planted_circuits(config.model_copy(update={"methods": ("exact search",)}), Stopping(after=0))


def test_unknown_names_are_answered_with_near_ones():
    with pytest.raises(ConfigError, match="no planted circuit 'look'; did you mean lookup"):
        planted_circuits(PlantedCircuitsConfig(models=("look",)))
    with pytest.raises(ConfigError, match="no method 'EAP-I'; did you mean"):
        planted_circuits(PlantedCircuitsConfig(methods=("EAP-I",)))
    with pytest.raises(ConfigError, match="no planted circuit 'look'"):
        code_sweep(("look",))


def test_a_sweep_has_a_row_for_every_number():
    config = DiscreteSweepConfig(code_counts=(4, 60), example_counts=(4,), steps=60, trials=2, mlps=False)
    result = code_sweep(("planted-lookup",), config)
    assert [row["codes"] for row in result.tables["codes"]] == [4, 60]
    assert [row["examples"] for row in result.tables["examples"]] == [4]
    assert all(0 <= row["AUROC"] <= 1 and row["sd"] >= 0 for row in result.tables["codes"])
    assert result.tables["codes"][0]["mean difference"] == 1
    with pytest.raises(ConfigError, match="at least 2 codes"):
        DiscreteSweepConfig.parse({"code_counts": (1,)})


@pytest.mark.slow
def test_the_bar():
    """Every planted circuit: exact methods at 0.99, discrete codes of heads at 0.95 by node, no error nodes."""
    result = planted_circuits(PlantedCircuitsConfig(distractors="others"))
    rows = {row["method"]: row for row in result.tables["methods"]}
    for method in EXACT:
        assert rows[method]["node least"] >= 0.99
        assert rows[method]["edge least"] >= 0.99
    assert rows["discrete codes"]["node AUROC"] >= 0.95
    assert rows["discrete codes, heads"]["node AUROC"] >= 0.95
    assert set(rows) == {*METHODS, "random"}
    assert all(row["recall"] == 1 and row["errors"] < 1e-4 for row in result.tables["graphs"])
