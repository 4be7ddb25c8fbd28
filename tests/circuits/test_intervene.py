"""Interventions on graphs: against validate, against runs of the model, and their controls."""

import pytest
import torch
from circuits.small_circuits import DIFFERENCE, IDS, random_analysis

from workbench.circuits import InterveneConfig, Intervention, ValidateConfig, intervene, trace, validate
from workbench.core import ConfigError, Progress, Silent

CONFIG = InterveneConfig(seeds=2, batch=3)


@pytest.fixture(scope="module")
def traced():
    model, dictionaries, analysis = random_analysis("llama")
    return model, dictionaries, analysis, trace(model, dictionaries, IDS, DIFFERENCE)


def test_taking_one_feature_out_is_what_validate_measures(traced):
    model, dictionaries, _, graph = traced
    told = validate(model, dictionaries, graph, ValidateConfig(singles=3, exact=0, exact_drawn=0, sizes=()))
    singles = [row for row in told.tables["single"] if row["set"] == "trained"]
    tests = [Intervention(name=row["node"], nodes=(row["node"],)) for row in singles]
    found = intervene(model, dictionaries, graph, tests, CONFIG).df("tests").set_index(["test", "mode"])
    for row in singles:
        for mode in ("frozen", "free"):
            mine = found.loc[(row["node"], mode)]
            assert mine["predicted"] == pytest.approx(row["predicted"], abs=1e-9)
            assert mine["measured"] == pytest.approx(row[mode], abs=1e-9)


def test_a_clamp_to_what_it_is_changes_nothing_and_to_zero_is_an_ablation(traced):
    model, dictionaries, _, graph = traced
    node = max((n for n in graph.nodes if n.kind == "feature"), key=lambda n: abs(n.effect))
    tests = [
        Intervention(name="same", nodes=(node.id,), operation="clamp", value=node.activation),
        Intervention(name="zero", nodes=(node.id,), operation="clamp"),
        Intervention(name="gone", nodes=(node.id,)),
        Intervention(name="double", nodes=(node.id,), operation="clamp", value=2 * node.activation),
    ]
    rows = intervene(model, dictionaries, graph, tests, CONFIG).df("tests").set_index(["test", "mode"])
    assert abs(rows.loc[("same", "free")]["measured"]) < 1e-9
    assert rows.loc[("zero", "free")]["measured"] == rows.loc[("gone", "free")]["measured"]
    assert rows.loc[("double", "free")]["measured"] == pytest.approx(rows.loc[("gone", "free")]["wrong_sign"], abs=1e-9)
    assert rows.loc[("gone", "frozen")]["predicted"] == pytest.approx(-node.effect, rel=1e-6)


def test_a_swap_with_the_same_prompt_changes_nothing_and_with_another_takes_its_values(traced):
    model, dictionaries, _, graph = traced
    nodes = tuple(node.id for node in graph.nodes if node.kind == "feature")[:4]
    test = Intervention(name="swapped", nodes=nodes, operation="swap")
    same = intervene(model, dictionaries, graph, [test], CONFIG, other=IDS)
    assert max(abs(row["measured"]) for row in same.tables["tests"]) < 1e-9
    other = torch.flip(torch.as_tensor(IDS), [-1])
    changed = intervene(model, dictionaries, graph, [test], CONFIG, other=other)
    assert max(abs(row["measured"]) for row in changed.tables["tests"]) > 1e-6
    with pytest.raises(ConfigError, match="another prompt"):
        intervene(model, dictionaries, graph, [test], CONFIG)


def test_controls_tokens_and_figure_are_there(traced):
    model, dictionaries, _, graph = traced
    nodes = tuple(node.id for node in graph.nodes if node.kind == "feature")[:3]
    result = intervene(model, dictionaries, graph, [Intervention(name="group", nodes=nodes)], CONFIG)
    assert {row["control"] for row in result.tables["controls"]} == {"wrong sign", "random 0", "random 1"}
    assert result.tables["tests"][0]["random_largest"] > 0
    before = sum(row["before"] for row in result.tables["tokens"])
    assert 0 < before <= 1 + 1e-6
    assert result.fig() is not None


def test_a_node_that_is_not_active_is_refused_by_name(traced):
    model, dictionaries, _, graph = traced
    with pytest.raises(ConfigError, match="no active feature"):
        intervene(model, dictionaries, graph, [Intervention(name="x", nodes=("feature:0:999:1",))], CONFIG)


class Stopped(Silent):
    def cancelled(self) -> bool:
        return True


def test_cancelled_work_says_so(traced):
    model, dictionaries, _, graph = traced
    node = next(node.id for node in graph.nodes if node.kind == "feature")
    stopped: Progress = Stopped()
    result = intervene(model, dictionaries, graph, [Intervention(name="x", nodes=(node,))], CONFIG, progress=stopped)
    assert result.partial
