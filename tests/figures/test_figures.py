from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
import plotly.io
import pytest
import sample_study as study

import workbench  # noqa: F401  (the hall names the renderers)
from workbench.core import Result, names


@pytest.fixture(scope="module")
def graph():
    return study.graph()


def test_every_promised_kind_is_registered():
    assert {"graph", "validation", "evaluation", "sum_check", "logit_lens", "attention", "next_tokens"} <= set(
        names("figure")
    )
    assert set(names("html")) == {"graph", "result"}


def test_the_template_is_registered_but_not_the_default(graph):
    graph.fig()
    assert "workbench" in plotly.io.templates
    assert plotly.io.templates.default != "workbench"


def test_the_graph_figure_carries_node_ids(graph):
    nodes = next(trace for trace in graph.fig().data if trace.name == "nodes")
    assert set(nodes.customdata) <= {node.id for node in graph.nodes}
    assert sum(not name.startswith("embed") for name in nodes.customdata) <= 60


def test_validation_has_measured_and_predicted_lines_of_every_set(graph):
    fig = study.validation(graph).fig()
    assert isinstance(fig, go.Figure)
    assert len(fig.data) == 2 * 2 * 3
    trained = next(trace for trace in fig.data if trace.name == "trained features")
    assert trained.y[0] == pytest.approx(3.7216)
    assert study.validation(graph).fig("single_ablations").data


def test_evaluation_draws_the_affine_map_beside_the_dictionary():
    assert {trace.name for trace in study.evaluation().fig().data} == {"dictionary", "affine map", "untrained"}


def test_next_tokens_are_escaped_for_plotly():
    fig = study.next_tokens().fig()
    assert all("<" not in text for text in fig.layout.yaxis.ticktext)
    assert fig.layout.yaxis.ticktext[0] == "·Mary"


def test_the_lens_has_a_selectable_square_on_every_cell():
    rows = [
        {"layer": l, "position": p, "token": f"t{p}", "top": "<b>", "probability": 0.1 * l + 0.01 * p}
        for l in range(3)  # noqa: E741
        for p in range(4)
    ]
    heat, squares = Result("logit_lens", tables={"lens": rows}).fig().data
    assert np.asarray(heat.z)[2, 3] == pytest.approx(0.23)
    assert len(squares.customdata) == 12
    assert heat.text[0][0] == "&lt;b&gt;"


def test_attention_draws_all_heads_or_one():
    pattern = np.tril(np.ones((3, 4, 4))) / 4
    tokens = [{"position": p, "token": f" t{p}"} for p in range(4)]
    result = Result("attention", tables={"tokens": tokens}, arrays={"pattern": pattern})
    assert len(result.fig().data) == 3
    one = replace(result, params={"head": 1}).fig()
    assert len(one.data) == 1
    assert one.layout.xaxis.ticktext[2] == "·t2"


def test_the_sum_check_shows_every_node():
    rows = [{"node": f"feature:{i}:7:2", "ratio": 10.0**-i} for i in range(5)]
    fig = Result("sum_check", tables={"nodes": rows}).fig()
    assert list(fig.data[0].x) == [0, 1, 2, 3, 4]
    assert fig.data[0].y[3] == pytest.approx(1e-3)
    assert fig.layout.yaxis.type == "log"


def test_every_head_has_a_cell_on_every_score():
    rows = [
        {"layer": layer, "head": head, "induction": layer + head / 10, "entropy": float("nan")}
        for layer in range(3)
        for head in range(2)
    ]
    induction, entropy = Result("attention_heads", tables={"heads": rows}).fig().data
    np.testing.assert_allclose(induction.z, [[0, 0.1], [1, 1.1], [2, 2.1]])
    assert np.isnan(np.asarray(entropy.z)).all()
