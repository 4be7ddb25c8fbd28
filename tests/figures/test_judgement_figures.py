"""Figures of judgements: what is drawn is what the tables say."""

import pytest
from plotly.graph_objects import Figure

import workbench  # noqa: F401  (the hall names the renderers)
from workbench.core import Result

NAN = float("nan")


def row(name: str, variant: str, l0: float, fvu: float, **more):
    return {"set": name, "variant": variant, "site": "resid_post.1", "family": "topk-sae", "l0": l0, "fvu": fvu} | more


def test_comparison_has_a_mark_for_every_set_and_variant():
    rows = [
        row("<b>a", "dictionary", 8, 0.3, fvu_low=0.2, fvu_high=0.5),
        row("<b>a", "affine", 0, 0.9, fvu_low=NAN, fvu_high=NAN),
        row("neurons", "dictionary", 8, 0.7),
    ]
    fig = Result("comparison", tables={"dictionaries": rows}).fig()
    assert [trace.x[0] for trace in fig.data] == [8, 0, 8]
    assert [trace.y[0] for trace in fig.data] == [0.3, 0.9, 0.7]
    assert fig.data[0].error_y.array[0] == pytest.approx(0.2)
    assert fig.data[0].error_y.arrayminus[0] == pytest.approx(0.1)
    assert not fig.data[1].error_y.visible
    assert all("<" not in trace.name for trace in fig.data)
    assert fig.layout.yaxis.type != "log"
    far = Result("comparison", tables={"dictionaries": [*rows, row("<b>a", "untrained", 8, 17.1)]}).fig()
    assert far.layout.yaxis.type == "log"


def test_density_counts_the_dead_in_the_legend():
    bins = [(None, None, 5), (-6, -5.5, 1), (-5.5, -5, 7)]
    rows = [
        {"dictionary": "d", "site": "resid_post.1", "log10_low": low, "log10_high": high, "features": n}
        for low, high, n in bins
    ]
    (trace,) = Result("evaluation", tables={"density": rows}).fig("density").data
    assert list(trace.y) == [1, 7]
    assert list(trace.x) == [-5.75, -5.25]
    assert "5 dead" in trace.name


def test_probing_averages_over_labels():
    rows = [
        {"label": label, "representation": name, "k": k, "accuracy": accuracy}
        for label, shift in (("x", 0.0), ("y", 0.1))
        for name, k, accuracy in (("latents", 1, 0.7 + shift), ("latents", 5, 0.8 + shift), ("neurons", 1, 0.6))
    ]
    rows += [{"label": "x", "representation": "activations", "k": None, "accuracy": 0.95}]
    rows += [{"label": "x", "representation": "majority", "k": 0, "accuracy": 0.5}]
    fig = Result("probing", tables={"probing": rows}).fig()
    assert [trace.name for trace in fig.data] == ["latents", "neurons"]
    assert list(fig.data[0].x) == [1, 5]
    assert list(fig.data[0].y) == pytest.approx([0.75, 0.85])
    assert fig.layout.shapes[0].y0 == 0.95


def test_bars_of_absorption_stability_and_planted_truth():
    absorbed = [
        {"label": "a", "absorbed": 0.2, "absorbed_low": 0.1, "absorbed_high": 0.3, "main_f1": 0.9},
        {"label": "b", "absorbed": 0.0, "absorbed_low": 0.0, "absorbed_high": 0.0, "main_f1": 0.8},
    ]
    bars, marks = Result("absorption", tables={"absorption": absorbed}).fig().data
    assert list(bars.y) == [0.2, 0.0]
    assert list(marks.y) == [0.9, 0.8]
    pairs = [
        {"first": "a", "second": second, "measure": "decoder", "mean_matched": v}
        for second, v in zip("bc", (1, 0.5), strict=True)
    ]
    (bars,) = Result("stability", tables={"stability": pairs}).fig().data
    assert list(bars.x) == ["a and b", "a and c"]
    planted = [{"bench": bench, "family": "topk-sae", "recovered": value} for bench, value in (("A", 0.9), ("B", 0.4))]
    fig = Result("planted", tables={"recovery": planted}).fig()
    assert [(trace.name, trace.y[0]) for trace in fig.data] == [("bench A", 0.9), ("bench B", 0.4)]


@pytest.mark.parametrize("kind", ["comparison", "probing", "absorption", "stability", "planted"])
def test_an_empty_result_draws_an_empty_figure(kind):
    assert isinstance(Result(kind).fig(), Figure)
    assert Result(kind)._repr_html_()
