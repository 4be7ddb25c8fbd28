"""Figures of units: right traces, escaped tokens, nothing drawn where there is nothing."""

import pytest

from workbench.core import Result

HOSTILE = "<script>alert(1)</script>"
ROW = {"unit": f"sae:{HOSTILE}:resid_post.1:3", "token": HOSTILE}
HISTOGRAM = [{"low": 0.5, "high": 1.0, "count": 9}, {"low": 1.0, "high": 2.0, "count": 1}]
DOSE = {
    "condition": "edited",
    "seed": None,
    "strength": 1.0,
    "target_probability": 0.5,
    "perplexity": 9.0,
    "text": HOSTILE,
}
TABLES = {
    "occurrences": {"histogram": HISTOGRAM},
    "feature card": {
        "histogram": HISTOGRAM,
        "effects": [{**ROW, "value": -1.0}],
        "measured": [{**ROW, "change": 0.5, "sd": 0.1}],
    },
    "measured effects": {"measured": [{**ROW, "change": 0.5, "sd": 0.1}]},
    "similar units": {"similar": [{**ROW, "cosine": 0.5, "lift": 3.0}, {**ROW, "cosine": 0.4, "lift": None}]},
    "connections": {"connections": [{**ROW, "side": "input", "weight": 1.0, "expected": None}]},
    "unit map": {"map": [{**ROW, "x": 0.0, "y": 1.0, "density": 0.5}, {**ROW, "x": 1.0, "y": 1.0, "density": None}]},
    "unit search": {"units": [{**ROW, "f1": 0.5}]},
    "unit on text": {"tokens": [{**ROW, "position": 0, "activation": 1.0}]},
    "steering": {"kl": [{**ROW, "condition": "edited", "position": 0, "kl": 0.5}]},
    "dose curve": {"doses": [DOSE, {**DOSE, "condition": "random direction", "seed": 1}]},
}


@pytest.mark.parametrize("kind", TABLES)
def test_every_kind_has_a_figure_that_escapes_and_stands_when_empty(kind):
    drawn = Result(kind, tables=TABLES[kind], params={"target": HOSTILE}).fig()
    assert len(drawn.data) >= 1
    assert "<script>" not in drawn.to_json()
    assert Result(kind).fig() is not None


def test_a_dose_curve_draws_probability_above_perplexity():
    drawn = Result("dose curve", tables=TABLES["dose curve"]).fig()
    assert [trace.y for trace in drawn.data] == [(0.5,), (9.0,), (0.5,), (9.0,)]
    assert [trace.line.dash for trace in drawn.data] == ["solid", "solid", "dot", "dot"]
