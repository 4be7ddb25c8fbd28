from dataclasses import replace
from xml.etree import ElementTree

import pytest
import sample_study as study

from workbench.core import Result
from workbench.figures import fvu_by_layer_svg, graph_svg, group_curve_svg, single_scatter_svg
from workbench.figures.picture import INKS, spread


@pytest.fixture(scope="module")
def graph():
    return study.graph()


@pytest.fixture(scope="module")
def pictures(graph):
    made = study.validation(graph)
    return {
        "graph": graph_svg(graph),
        "groups": group_curve_svg(made, "logit(' Mary')"),
        "singles": single_scatter_svg(made),
        "fvu": fvu_by_layer_svg(study.evaluation()),
    }


def elements(picture):
    return list(ElementTree.fromstring(picture).iter())


def test_pictures_are_well_formed_and_carry_no_script_or_address(pictures):
    for picture in pictures.values():
        names = {element.tag.rsplit("}")[-1] for element in elements(picture)}
        assert not names & {"script", "foreignObject", "image", "metadata"}
        outside = picture.replace("http://www.w3.org/2000/svg", "").replace("http://www.w3.org/1999/xlink", "")
        assert "http" not in outside
        assert "<!DOCTYPE" not in picture
        assert "<?xml" not in picture


def test_pictures_follow_the_theme(pictures):
    for picture in pictures.values():
        assert "prefers-color-scheme:dark" in picture
        assert not any(colour in picture for colour in vars(INKS).values())
        assert "var(--wb-positive)" in picture


def test_two_pictures_on_one_page_share_no_element_id(pictures):
    ids = [e.get("id") for picture in pictures.values() for e in elements(picture) if e.get("id")]
    assert len(ids) == len(set(ids))


def test_the_same_study_gives_the_same_bytes(pictures, graph):
    made = study.validation(graph)
    assert group_curve_svg(made, "logit(' Mary')") == pictures["groups"]
    assert graph_svg(graph) == pictures["graph"]


def test_the_graph_picture_names_its_nodes_and_links_them(graph):
    picture = graph_svg(graph, labels={graph.nodes[graph.top(1)[0]].id: "her herself"}, link="node-")
    texts = [e.text for e in elements(picture) if e.tag.endswith("text")]
    assert "her herself" in texts
    assert "·Mary" in texts
    anchors = {e.get("href") for e in elements(picture) if e.tag.endswith("}a")}
    assert "#node-1" in anchors


def test_hostile_labels_stay_text(graph):
    nodes = tuple(replace(n, label=study.HOSTILE) if n.kind != "embed" else n for n in graph.nodes)
    tokens = (study.HOSTILE, *graph.tokens[1:])
    picture = graph_svg(replace(graph, nodes=nodes, tokens=tokens, metric=study.HOSTILE))
    assert not any(e.tag.endswith(("script", "img")) for e in elements(picture))
    curve = group_curve_svg(study.validation(graph), study.HOSTILE + " $x$")
    assert not any(e.tag.endswith(("script", "img")) for e in elements(curve))


def test_absent_parts_are_tolerated():
    empty = Result("validation")
    for draw in (group_curve_svg, single_scatter_svg):
        assert elements(draw(empty))


def test_labels_at_line_ends_are_moved_apart():
    moved = spread([1.0, 1.01, 5.0], 0.5)
    assert moved[1] - moved[0] >= 0.5 - 1e-9
    assert moved[2] == 5.0
    assert sum(moved[:2]) == pytest.approx(2.01)
