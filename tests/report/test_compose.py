"""Reports put together from results and graphs, in every rendering, hostile words included."""

import json
import re

import jsonschema
import numpy as np
import plotly.graph_objects as go
import pytest

from workbench.core import Result
from workbench.figures import plot_svg
from workbench.report import (
    NoteBlock,
    Report,
    check_svg,
    compose,
    note_of_environment,
    note_of_result,
    report_html,
    report_interactive,
    report_json,
    report_markdown,
    report_schema,
)

HOSTILE = "</span><script>alert(1)</script>\u202e\x07"


def made() -> Report:
    assets = {}
    rows = [{"set": "trained", "node": HOSTILE, "predicted": 1.0, "frozen": float("nan"), "free": 0.5, "layer": 0}]
    result = Result("validation", {"metric_value": 2.0}, {"single": rows}, notes=(HOSTILE,), partial=True)
    notes = [
        NoteBlock(title=HOSTILE, text=f"first\n\n{HOSTILE}", tokens=("a", HOSTILE), values=(1.0, None)),
        note_of_result(result, "single", assets, table="single", python=HOSTILE, address="http://127.0.0.1/x"),
        note_of_result(Result("of no known kind", {"a": 1.0}), "numbers", assets),
        note_of_environment({"python": "3.11", "torch": "2"}),
    ]
    return compose(HOSTILE, notes, assets, author="me", finding=HOSTILE, created="2026-01-01T00:00:00+00:00")


def test_every_rendering_is_inert_and_whole():
    report = made()
    for page in (report_html(report), report_interactive(report)):
        assert "<script>alert" not in page
        assert "\x07" not in page
    assert report_html(report).count("<section") == 4
    assert "<script>alert" not in re.sub(r"`[^`]*`", "", report_markdown(report))  # a code span is inert
    data = json.loads(report_json(report))
    jsonschema.validate(data, report_schema())
    assert data["blocks"][2]["partial"] is True
    assert made() == report


def test_what_is_left_out_of_a_table_is_counted():
    result = Result("x", tables={"t": [{"a": i} for i in range(100)]})
    note = note_of_result(result, "t", {}, table="t")
    assert len(note.rows) == 40
    assert note.left_out == 60


def test_a_result_with_tokens_can_be_shown_as_a_strip():
    rows = [{"token": "a", "surprise": None}, {"token": HOSTILE, "surprise": 2.5}]
    result = Result("token view", {"mean_surprise": 2.5}, {"tokens": rows})
    note = note_of_result(result, "t", {}, strip="surprise")
    assert note.tokens == ("a", HOSTILE)
    assert note.values == (None, 2.5)
    assert note.notes[0] == "Colour of the tokens: surprise."
    assert note_of_result(result, "t", {}).tokens == ()
    assert note_of_result(result, "t", {}, strip="none such").tokens == ()
    page = report_html(compose("t", [note], {}))
    assert "<script>alert" not in page
    assert "(2.50)" in report_markdown(compose("t", [note], {}))


@pytest.mark.parametrize(
    "trace",
    [
        go.Scatter(x=[1, 2], y=[3, None], name="<b>x</b>"),
        go.Bar(x=[0.5, 1], y=["<script>", "b"], orientation="h"),
        go.Bar(x=["a", "b"], y=[1, 2]),
        go.Heatmap(z=np.arange(12000).reshape(100, 120)),
        go.Scatter(y=[1, 2, 3], mode="markers"),
    ],
)
def test_a_plotly_figure_becomes_a_harmless_picture(trace):
    text = plot_svg(go.Figure(trace).update_yaxes(title="y"), "p", "a picture")
    check_svg(text)
    assert "<script" not in text
    assert len(text) < 600_000
