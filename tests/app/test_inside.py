"""No file beyond the workspace by a name that came from an address, an upload or a box."""

from contextlib import suppress
from pathlib import Path

import pytest

from workbench.core import ArtifactError, ModelError, Silent, TextError, WorkbenchError
from workbench.workspace import Workspace
from workbench_app.inside import check_model, check_text, is_foreign
from workbench_app.offers import packed_text
from workbench_app.shelf import Shelf

OUTSIDE = (
    "/etc/passwd",
    "../secret",
    "~/.ssh/id_rsa",
    "./pyproject.toml",
    "a/../../b",
    "/etc",
    "~nobody-here/x",
    "x" * 100_000,
    "a\0b",
)


@pytest.mark.parametrize("name", OUTSIDE)
def test_paths_are_refused_as_models_and_texts(name, monkeypatch, tmp_path):
    monkeypatch.delenv("WORKBENCH_APP_MODEL", raising=False)
    with pytest.raises(ModelError, match="no model outside the workspace"):
        Shelf().load(name, Silent())
    with pytest.raises(TextError, match="no file outside the workspace"):
        packed_text(None, name)
    with suppress(WorkbenchError):
        assert Workspace(tmp_path).path_of("graphs", name).parent == Workspace(tmp_path).path / "graphs"


@pytest.mark.parametrize("name", ["planted-places", "HuggingFaceTB/SmolLM2-135M", "synthetic-places:120", "hf:a/b"])
def test_names_of_known_things_are_none(name):
    assert not is_foreign(name)


def test_files_of_the_workspace_and_the_model_named_at_the_start_are_let_in(monkeypatch, tmp_path):
    inside = Workspace().path / "mine.txt"
    inside.parent.mkdir(parents=True, exist_ok=True)
    inside.write_text("the man saw a dog")
    check_text(str(inside))
    outside = tmp_path / "model"
    outside.mkdir()
    monkeypatch.setenv("WORKBENCH_APP_MODEL", str(outside))
    check_model(str(outside))
    (inside.parent / "link.txt").symlink_to("/etc/passwd")
    with pytest.raises(TextError):
        check_text(str(inside.parent / "link.txt"))


def test_an_upload_is_named_by_its_last_part_and_cut_off_at_the_limit(monkeypatch):
    from workbench_app.panels import take

    assert take.free_name(Path("../../etc/passwd").name) == "passwd"
    monkeypatch.setattr(take, "LARGEST", 10)

    class Stream:
        def read(self, size: int) -> bytes:
            return b"x" * 11

    with pytest.raises(ArtifactError, match="holds more than"):
        take.open_file(Stream(), "../../graph.json")
