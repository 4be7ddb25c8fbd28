"""The circuits page by AppTest: tabs, views, filters, tests of a graph, import and export."""

import io
import json

import pytest

from workbench.circuits import InterveneConfig, Intervention, intervene
from workbench.core import ArtifactError, CircuitGraph, Result
from workbench.exchange import GraphFile, read_graph, write_graph
from workbench.workspace import Workspace
from workbench_app import layouts, state
from workbench_app.panels import interventions, take

from .samples import fill, sample_graph
from .test_pages import open_page, text_of

HOSTILE = "</span><script>alert(1)</script>\u202e\x07" + "x" * 100_000


def test_every_tab_stands_and_the_graph_says_that_its_dictionaries_are_not_here():
    fill(Workspace().path)
    for tab in ("Validate", "Groups", "Nodes", "Compare", "Take along"):
        at = open_page("circuits", ci="mary-john", ci_tab=tab)
        assert not at.error
    assert "does not say which dictionaries" in text_of(open_page("circuits", ci="mary-john", ci_tab="Validate"))


def test_a_link_opens_a_view_and_an_unknown_one_turns_amber():
    graph = fill(Workspace().path)
    node = next(node.id for node in graph.nodes if node.kind == "feature")
    id = layouts.copy(graph, {"pins": [node]}, "mine")
    at = open_page("circuits", ci="mary-john", v=id, ci_tab="Groups")
    assert node in at.dataframe[0].value["id"].tolist()
    at = open_page("circuits", ci="mary-john", v="f" * 12)
    assert "none of this graph" in at.warning[0].value


def test_a_label_is_kept_and_named_in_the_detail():
    graph = fill(Workspace().path)
    node = next(node for node in graph.nodes if node.kind == "feature")
    assert node.unit is not None
    state.database().set_label(node.unit, "pronouns **bold** <b>")
    at = open_page("circuits", ci="mary-john", ci_sel=node.id)
    assert "pronouns **bold** <b>" in text_of(at)


def test_two_graphs_are_compared_by_unit():
    fill(Workspace().path)
    sample_graph(seed=1).save(Workspace().path_of("graphs", "other"))
    at = open_page("circuits", ci="mary-john", ci_tab="Compare")
    assert {m.label for m in at.metric} >= {"Nodes shared", "Nodes only here", "Nodes only there"}
    assert not at.error


def test_tests_of_a_graph_are_shown_and_give_badges():
    graph = fill(Workspace().path)
    node = next(node.id for node in graph.nodes if node.kind == "feature")
    row = {"test": "a", "operation": "ablate", "nodes": 1, "mode": "frozen", "predicted": -1.0, "measured": -0.9}
    row |= {"sign_agrees": True, "passes": True, "wrong_sign": 1.0, "random_mean": 0.0, "random_sd": 0.1}
    tables = {
        "tests": [row, {**row, "mode": "free", "passes": False}],
        "controls": [{"test": "a", "control": "random 0", "mode": "frozen", "predicted": 0.0, "measured": 0.0}],
        "tokens": [{"test": "a", "token": " <b>", "before": 0.4, "after": 0.1}],
        "nodes": [{"test": "a", "node": node, "taken_away": 1.0}],
    }
    result = Result("interventions", {"sign_agreement": 1.0}, tables, inputs={"graph": graph.manifest.content_hash})
    result.save(Workspace().path_of("results", f"mary-john-test-{result.id}"))
    at = open_page("circuits", ci="mary-john", ci_tab="Validate")
    assert "sign agrees in 100 %" in text_of(at)
    assert interventions.badges([result], {})[node] is False


def test_the_page_tests_what_the_verb_takes():
    assert {"ablate", "clamp", "swap"} == set(interventions.OPERATIONS)
    assert callable(intervene)
    for operation in interventions.OPERATIONS:
        Intervention.parse({"name": "x", "nodes": ("a",), "operation": operation}, "a test")
    assert InterveneConfig().seeds == 5


def exported_file(graph: CircuitGraph, tmp_path, **chosen) -> bytes:
    return write_graph(GraphFile(graph, "g", **chosen), tmp_path / "g.json").read_bytes()


def test_an_imported_graph_brings_its_pins_and_groups_and_goes_out_again(tmp_path, monkeypatch):
    graph = sample_graph()
    ids = tuple(node.id for node in graph.nodes if node.kind == "feature")[:3]
    data = exported_file(graph, tmp_path, pinned=ids, supernodes=(("pronouns", ids[:2]),))
    monkeypatch.setattr(take, "set_focus", lambda **changes: None)
    name = take.open_file(io.BytesIO(data), "../../evil name.json")
    assert name == "evil-name"
    made = state.graph(state.find_graph(name))
    layout = layouts.read(layouts.first(made.manifest.content_hash), made)
    assert layout is not None
    assert layout["pins"] == list(ids)
    assert layout["groups"][0]["name"] == "pronouns"
    for format, ending in (("circuit-tracer", "json"), ("graphml", "graphml")):
        out = tmp_path / f"out.{ending}"
        out.write_bytes(take.exported(made, name, layout, format, ending, whole=True))
        back = read_graph(out)
        assert {n.id for n in back.graph.nodes} == {n.id for n in made.nodes}
        assert set(back.pinned) == set(ids)
    assert not open_page("circuits", ci=name).exception
    assert take.open_file(io.BytesIO(data), "evil name.json") == "evil-name-2"


def test_what_is_no_graph_or_too_large_leaves_nothing_behind(monkeypatch):
    monkeypatch.setattr(take, "LARGEST", 1000)
    for data in (b"{" * 900, b"[]", b"x" * 5000, b"\x1f\x8bbroken"):
        with pytest.raises(ArtifactError):
            take.open_file(io.BytesIO(data), "a.json")
    assert Workspace().list("graphs") == []


def test_hostile_labels_are_inert_in_the_graph_and_every_export(tmp_path, monkeypatch):
    graph = sample_graph(tokens=("<bos>", HOSTILE, "</script><img src=x onerror=alert(1)>", " to"))
    fill(Workspace().path, graph, "hostile")
    entry = state.find_graph("hostile")
    node = next(n.id for n in graph.nodes if n.kind == "feature")
    layouts.keep(layouts.first(state.graph(entry).manifest.content_hash), state.graph(entry),
                 {"pins": [node], "groups": [{"name": HOSTILE[:150], "members": [node]}]})  # fmt: skip
    for tab in ("Groups", "Take along"):
        at = open_page("circuits", ci="hostile", ci_tab=tab)
        assert not at.error
        assert all("<script>" not in str(part.proto.body) for part in at.get("html"))
        assert not any(part.allow_html for part in at.markdown)
    names, _ = state.drawn(entry, None)
    picture = take.picture(names)
    assert "<script" not in picture
    assert "<img" not in picture
    layout = layouts.clean({"pins": [node]}, {node})
    data = take.exported(state.graph(entry), "hostile", layout, "circuit-tracer", "json", whole=True)
    assert HOSTILE in json.loads(data)["metadata"]["prompt_tokens"]
    with pytest.raises(ArtifactError):
        Workspace().path_of("graphs", "../outside")


@pytest.mark.parametrize("address", ["../../etc/passwd", "/etc/passwd", "..", "a/../b", "\x00"])
def test_no_address_leads_out_of_the_workspace(address):
    fill(Workspace().path)
    at = open_page("circuits", ci=address)
    assert "not in this workspace" in text_of(at)
