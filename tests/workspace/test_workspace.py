import json

import pytest

from workbench.core import ArtifactError, Manifest, Result, Site, Unit, write_artifact
from workbench.workspace import AutomaticLabel, Database, Workspace, cache_folder, folder_bytes, workspace_folder


def test_places_follow_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "cache"
    assert workspace_folder() == tmp_path / "home"
    assert workspace_folder(tmp_path / "other") == tmp_path / "other"


def test_list_open_remove(tmp_path):
    workspace = Workspace(tmp_path)
    assert workspace.list() == []
    Result("evaluation", {"fvu": 0.3}).save(workspace.path_of("results", "first"))
    (entry,) = workspace.list()
    assert (entry.folder, entry.name, entry.manifest.kind) == ("results", "first", "result")
    assert entry.bytes == folder_bytes(entry.path) > 0
    with pytest.raises(ArtifactError, match=r"did you mean first\?"):
        workspace.open("results", "frist")
    assert workspace.remove("results", "first") > 0
    assert workspace.list("results") == []


def test_a_damaged_artifact_is_listed_with_its_problem(tmp_path):
    workspace = Workspace(tmp_path)
    folder = workspace.path_of("graphs", "bad")
    write_artifact(folder, Manifest(kind="graph"))
    (folder / "manifest.json").write_text("{")
    (entry,) = workspace.list()
    assert entry.manifest is None
    assert "cannot read the manifest" in entry.problem


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden"])
def test_names_that_would_leave_the_workspace_are_refused(tmp_path, name):
    with pytest.raises(ArtifactError, match="cannot name an artifact"):
        Workspace(tmp_path).path_of("graphs", name)


def test_automatic_labels_lie_apart_and_the_best_is_shown(tmp_path):
    unit, other = Unit.parse("transcoder:demo:mlp_in.3:7"), Unit.parse("sae:else:resid_post.1:2")
    base = Database(tmp_path)
    base.set_automatic_labels([AutomaticLabel(unit, "the token ' the'", "tokens", 0.4, {"pmi": 2.0})])
    base.set_automatic_labels([AutomaticLabel(other, "digits", "tokens", 0.9)])
    base.set_automatic_labels([AutomaticLabel(unit, "articles", "a model", 0.6)])
    base.set_automatic_labels([AutomaticLabel(unit, "the token ' the' or ' a'", "tokens", 0.5, {"pmi": 3.0})])
    assert base.automatic_labels("demo")[unit].text == "articles"
    base.set_automatic_labels([AutomaticLabel(unit, "nothing", "a model", 0.1)])
    found = base.automatic_labels("demo")
    assert list(found) == [unit]
    assert (found[unit].score, found[unit].details) == (0.5, {"pmi": 3.0})
    assert base.labels() == {}


def test_labels_keep_their_history_across_connections(tmp_path):
    unit = Unit("transcoder", "demo", Site("mlp_in", 3), 1855)
    Database(tmp_path).set_label(unit, "female names")
    other = Database(tmp_path)
    other.set_label(unit, "she / her")
    assert Database(tmp_path).labels("demo") == {unit: "she / her"}
    assert [label.text for label in other.label_history(unit)] == ["she / her", "female names"]
    other.set_label(unit, "")
    assert other.labels() == {}


def test_views_round_trip(tmp_path):
    database = Database(tmp_path)
    state = {"pins": ["feature:3:1855:7"], "threshold": 0.8}
    database.save_view("v1", "abc", state)
    view = database.view("v1")
    assert view is not None
    assert json.dumps(view.state) == json.dumps(state)
    assert database.view("none") is None


def test_a_label_carries_confidence_and_note_and_can_be_taken_back(tmp_path):
    unit, database = Unit.parse("sae:a:resid_post.1:3"), Database(tmp_path)
    assert database.undo_label(unit) is None
    database.set_label(unit, "first")
    database.set_label(unit, "second", 0.6, "seen twice")
    newest = database.label_history(unit)[0]
    assert (newest.text, newest.confidence, newest.note) == ("second", 0.6, "seen twice")
    taken = database.undo_label(unit)
    assert taken is not None
    assert taken.text == "second"
    assert database.labels() == {unit: "first"}


def test_a_database_of_an_earlier_version_gets_the_new_columns(tmp_path):
    import sqlite3

    with sqlite3.connect(tmp_path / "workbench.db") as connection:
        connection.execute(
            "CREATE TABLE labels (id INTEGER PRIMARY KEY, unit TEXT NOT NULL, text TEXT NOT NULL, "
            "author TEXT NOT NULL, created TEXT NOT NULL)"
        )
        connection.execute("INSERT INTO labels VALUES (1, 'sae:a:resid_post.1:3', 'old', 'me', '2026')")
    connection.close()
    database, unit = Database(tmp_path), Unit.parse("sae:a:resid_post.1:3")
    assert database.label_history(unit)[0].confidence is None
    database.set_label(unit, "new", 0.9)
    assert [label.text for label in database.label_history(unit)] == ["new", "old"]
