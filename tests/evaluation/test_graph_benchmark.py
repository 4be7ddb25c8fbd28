"""The circuit benchmark: what it traces, what it counts as its floor."""

import pytest
import torch

from workbench.circuits import Target, TraceConfig, trace
from workbench.core import ConfigError
from workbench.evaluation import GraphBenchConfig, bench_graphs
from workbench.evaluation.speed.graphs import covector_rows, random_set
from workbench.models import load_model


def test_a_quick_look_has_every_graph_beside_its_floor():
    config = GraphBenchConfig(
        quick=True, rounds=1, model="planted-places", tokens=8, features=64, k=4, few=2, feature_nodes=20
    )
    result = bench_graphs(config)
    rows = result.df("graphs")
    assert len(rows) == 8
    assert set(rows["case"]) == {"trace", "bare products"}
    assert rows[rows["case"] == "bare products"]["ratio_floor"].tolist() == [1.0] * 4
    assert result.scalars["expanded, k 4"] == 20
    assert result.scalars["active, k 4"] > 20
    assert result.scalars["expanded, k 2"] == result.scalars["active, k 2"]
    assert result.scalars["peak_mb"] >= result.scalars["held_mb"] > 0


def test_rows_of_the_floor_are_counted_target_by_target():
    model = load_model("planted-places")
    dictionaries = random_set(model, "topk-transcoder", 32, 2, 0)
    graph = trace(model, dictionaries, torch.arange(6), Target.difference(3, 4), TraceConfig(interventions=False))
    wanted = sum((n.position + 1) * n.layer for n in graph.nodes if n.kind == "feature") + 6 * 2
    assert covector_rows(graph) == wanted


def test_settings_that_do_not_fit():
    with pytest.raises(ConfigError, match="more than the 4 features"):
        GraphBenchConfig.parse({"features": 4, "k": 8})
    with pytest.raises(ConfigError, match="context holds"):
        bench_graphs(GraphBenchConfig(model="planted-places", tokens=500, features=16, k=2, few=2))
