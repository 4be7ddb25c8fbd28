"""Figures of discovery and of circuit tables: what is drawn is what the tables say, and nothing is markup."""

import pytest

import workbench  # noqa: F401  (the hall names the renderers)
from workbench.core import Result

NAN = float("nan")


def curve(scorer: str, selection: str, shift: float = 0.0, low: float | None = None):
    return [
        {"scorer": scorer, "selection": selection, "fraction": f, "size": 1, "faithfulness": f + shift}
        | {"low": f if low is None else low, "high": f + 2 * shift}
        for f in (0.001, 0.01, 1.0)
    ]


def discovered(**tables):
    return Result("discovery", tables=tables, params={"scorers": ["eap", "mean-difference", "random"]})


def test_discovery_shows_agreement_with_exact_ablation_and_areas():
    rows = [
        {"scorer": name, "auroc": a, "auroc_low": a - 0.1, "auroc_high": a + 0.05, "rho_absolute": a, "cpr": a}
        | {"rho_absolute_low": NAN, "rho_absolute_high": NAN, "cmd": 1 - a, "cmd_low": 0.0, "cmd_high": 1.0}
        for name, a in (("eap<b>", 0.9), ("random", 0.5))
    ]
    result = discovered(scorers=rows)
    rho, auroc = result.fig().data
    assert list(auroc.x) == [0.9, 0.5]
    assert list(auroc.error_x.arrayminus) == pytest.approx([0.1, 0.1])
    assert not rho.error_x.visible
    assert "<" not in auroc.y[0]
    assert [list(trace.x) for trace in result.fig("circuit_areas").data] == [[0.9, 0.5], pytest.approx([0.1, 0.5])]
    without = discovered(scorers=[{**row, "auroc": None} for row in rows])
    assert list(without.fig().data[0].x) == [0.9, 0.5]


def test_faithfulness_draws_every_selection_beside_the_random_band():
    tables = {
        "curve": [*curve("eap", "signed", 0.1), *curve("eap", "absolute", 0.2), *curve("acdc", "signed", 0.1, NAN)],
        "random": [{"fraction": f, "size": 1, "faithfulness": 0.0, "low": -0.1, "high": 0.1} for f in (0.001, 1.0)],
    }
    for result in (Result("faithfulness", tables=tables).fig(), discovered(**tables).fig("faithfulness_curve")):
        named = {trace.name: trace for trace in result.data if trace.showlegend is not False}
        assert set(named) == {"random circuits", "eap, by score", "eap, by |score|", "acdc, by score"}
        assert list(named["eap, by score"].y) == pytest.approx([0.101, 0.11, 1.1])
        bands = [trace for trace in result.data if trace.fill == "toself"]
        assert len(bands) == 2
        assert list(bands[0].y) == [0.1, 0.1, -0.1, -0.1]


def test_heads_are_drawn_against_their_exact_effects():
    rows = [{"node": f"a0.h{i}", "score": s, "eap": 2 * s, "random": 0.0} for i, s in enumerate((0.5, -2.0))]
    line, eap = discovered(heads=rows).fig("discovery_heads").data
    assert list(line.x) == [-2, 2]
    assert (list(eap.x), list(eap.y)) == ([0.5, -2.0], [1.0, -4.0])


def test_scores_of_components_come_largest_first():
    rows = [{"node": "a0.h0", "score": 0.1}, {"node": "m1", "score": -3.0}]
    (bars,) = Result("component_scores", tables={"nodes": rows}, params={"scorer": "eap"}).fig().data
    assert list(bars.y) == ["m1", "a0.h0"]
    (bars,) = Result("component_scores", tables={"edges": [{"edge": "input->m0", "score": 1.0}]}).fig().data
    assert list(bars.y) == ["input-&gt;m0"]


def test_a_score_that_a_spoiled_set_tops_is_marked():
    rows = [
        {"set": name, "replacement": r, "group_effect": g}
        | {f"{key} {end}": v for key, v in (("replacement", r), ("group_effect", g)) for end in ("low", "high")}
        for name, r, g in (("trained", 0.3, 0.5), ("broken", 0.6, 0.1), ("untrained", 0.2, 0.2))
    ]
    replacement, group = Result("score_ranking", tables={"ranking": rows}).fig().data
    assert list(replacement.x) == [0.3, 0.6, 0.2]
    assert len({replacement.marker.color[0], replacement.marker.color[1], replacement.marker.color[2]}) == 3
    assert list(group.x) == [0.5, 0.1, 0.2]


WITH_TABLES = {
    "error_ledger": {"layers": [{"layer": 0, "errors": 0.2, "errors_start": 0.1, "unexpanded": 0.0}]},
    "edge_heads": {"heads": [{"source": "a", "target": "b", "layer": -1, "head": -1, "part": 0.2}]},
    "invariant_circuit": {"features": [{"through": "same token", "layer": 0, "index": 3, "weight": 0.2}]},
    "path_search": {"paths": [{"path": "feature 1.2 @3 x <- embedding @3 x", "value": 0.2}]},
    "grouping": {"edges": [{"source": "a", "target": "b", "weight": 0.2, "edges": 1}]},
    "report_comparison": {"blocks": [{"block": "graph", "numbers": 3, "texts": 1, "moved": 1}]},
    "planted_circuits": {
        "methods": [{"distractors": "others", "method": "EAP", "node AUROC": 1.0, "edge AUROC": 0.99}]
    },
    "code_sweep": {"codes": [{"model": "m", "codes": 8, "AUROC": 0.9, "sd": 0.1, "mean difference": 1.0}]},
    "tasks": {"tasks": [{"task": "t", "solved": "yes", "right": 0.9}]},
    "circuit_check": {"minimality": [{"node": "m0", "score": 1.0, "change": 0.2}]},
}


@pytest.mark.parametrize("kind", WITH_TABLES)
def test_every_kind_draws_its_table_and_an_empty_one(kind):
    assert Result(kind, tables=WITH_TABLES[kind]).fig().data
    assert Result(kind).fig().layout.template is not None
    assert kind in Result(kind, tables=WITH_TABLES[kind])._repr_html_()
