"""Figures in other colours: scales, bars and template change, numbers and words do not."""

from typing import Any

import pytest

from workbench.figures import PALETTES, figure, recoloured
from workbench.figures.template import COLOURS, DIVERGING, SEQUENTIAL


@pytest.fixture
def drawn() -> Any:
    fig = figure(title="#0072b2 stays a word")
    fig.add_heatmap(z=[[0.0, 1.0]], colorscale=SEQUENTIAL)
    fig.add_heatmap(z=[[-1.0, 1.0]], colorscale=DIVERGING)
    return fig.add_bar(y=[1.0, 2.5], marker={"color": COLOURS[0]})


def test_every_scale_changes_and_nothing_else(drawn):
    other: Any = recoloured(drawn, "green and purple")
    for old, new in zip(drawn.data, other.data, strict=True):
        assert old.type == new.type
    for old, new in zip(drawn.data[:2], other.data[:2], strict=True):
        assert [stop[0] for stop in old.colorscale] == [stop[0] for stop in new.colorscale]
        assert old.colorscale[-1] != new.colorscale[-1]
        assert old.colorscale[0] != new.colorscale[0]
    assert other.data[2].marker.color == PALETTES["green and purple"][COLOURS[0]]
    assert list(other.data[2].y) == [1.0, 2.5]
    assert other.layout.title.text == "#0072b2 stays a word"
    colours = other.layout.template.layout.colorway
    assert colours[0] != COLOURS[0]
    assert len(set(colours)) == len(set(COLOURS))


def test_the_first_palette_is_the_figure_itself(drawn):
    assert recoloured(drawn, "blue and orange") is drawn
    with pytest.raises(KeyError):
        recoloured(drawn, "beige")
