"""Layouts of graphs: cleaned, saved at every change, kept apart by view."""

from hypothesis import given, strategies as st

from workbench.workspace import Workspace
from workbench_app import layouts

from .samples import sample_graph

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
KEYS = ("pins", "groups", "moves", "share", "mass", "density", "errors")


@given(told=st.fixed_dictionaries({}, optional=dict.fromkeys(KEYS, ANYTHING)))
def test_nothing_malformed_survives_cleaning(told):
    found = layouts.clean(told, {"a", "b"})
    assert set(found["pins"]) <= {"a", "b"}
    members = [m for group in found["groups"] for m in group["members"]]
    assert len(members) == len(set(members))
    assert layouts.clean(found, {"a", "b"}) == found


def test_a_view_is_kept_as_it_was_and_others_beside_it():
    graph = sample_graph().save(Workspace().path_of("graphs", "g"))
    ids = [node.id for node in graph.nodes if node.kind == "feature"][:3]
    first = layouts.first(graph.manifest.content_hash)
    layouts.keep(first, graph, {"pins": ids, "share": 0.5})
    other = layouts.copy(graph, layouts.read(first, graph), "<script>x</script>")
    layouts.keep(other, graph, {"pins": ids[:1], "groups": [{"name": "one", "members": ids}]})
    kept, copied = layouts.read(first, graph), layouts.read(other, graph)
    assert kept is not None
    assert copied is not None
    assert kept["pins"] == ids
    assert copied["groups"][0]["members"] == ids
    names = layouts.names(graph.manifest.content_hash)
    assert list(names) == [first, other]
    assert names[other] == "<script>x</script>"
    assert layouts.read("unknown", graph) is None


def test_a_group_takes_its_members_out_of_others_and_its_name_is_free():
    layout = {"pins": ["a"], "groups": [{"name": "x", "members": ["a", "b"], "rationale": ""}]}
    found = layouts.with_group(layout, "x", ["b", "c"])
    assert [(g["name"], g["members"]) for g in found["groups"]] == [("x", ["a"]), ("x (2)", ["b", "c"])]
    assert found["pins"] == ["a", "b", "c"]
