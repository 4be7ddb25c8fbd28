"""Figures of direct effects and of patching by position."""

import numpy as np

from workbench.core import Result


def test_direct_effects_stack_both_kinds_and_follow_the_stream():
    rows = [{"layer": n - 1, "attention": 0.5 * n, "mlp": -0.25 * n, "accumulated": float(n)} for n in range(4)]
    fig = Result("direct_effects", tables={"layers": rows}, params={"target": " <b>a", "foil": " b"}).fig()
    assert [trace.name for trace in fig.data] == ["attention", "MLP", "the stream so far"]
    assert list(fig.data[1].y) == [-0.25, -0.5, -0.75]
    assert "<b>" not in fig.layout.title.text


def test_patching_has_a_map_for_each_site_and_holes_where_nothing_was_run():
    rows = [
        {"site": site, "layer": layer, "position": position, "token": " <i>", "recovered": layer + position / 10}
        for site in ("resid_pre", "mlp_out")
        for layer, position in ((0, 0), (1, 1))
    ]
    fig = Result("position_patching", tables={"positions": rows}).fig()
    assert len(fig.data) == 2
    np.testing.assert_array_equal(np.asarray(fig.data[0].z, dtype=float), [[0, np.nan], [np.nan, 1.1]])
    assert "<i>" not in fig.layout.xaxis.ticktext[0]
    assert Result("position_patching", tables={"positions": []}).fig() is not None
