"""The runs page by AppTest: empty, one run, several, a stale address, a live one."""

import json
import tomllib

import pytest

from workbench.workspace import Workspace
from workbench_app.wording import as_toml

from .test_pages import open_page, text_of


def write(name: str, chunks: int = 3, **config) -> None:
    folder = Workspace().path_of("dictionaries", name)
    (folder / "checkpoints" / "00000002").mkdir(parents=True)
    lines = [
        json.dumps({"dictionary": "mlp_in.0", "chunk": c, "step": c + 1, "loss": 1 / (c + 1), "l0": 8.0, "fvu": 0.3})
        for c in range(chunks)
    ]
    (folder / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "checkpoints" / "00000002" / "state.json").write_text(json.dumps({"identity": {"config": config}}))


def test_an_empty_workspace_says_how_to_train():
    assert "workbench demo --quick" in text_of(open_page("runs"))


@pytest.mark.parametrize("tab", ["Curves", "Settings", "Frontier", "Last records"])
def test_every_tab_stands_with_two_runs(tab):
    write("one", lr=0.1, seed=0)
    write("two <b>", lr=0.2, seed=0)
    at = open_page("runs", ru="one,two <b>", ru_tab=tab)
    assert not at.error
    if tab == "Settings":
        assert "1 of them differ" in text_of(at)


def test_an_address_of_a_run_that_is_gone_turns_amber():
    write("one")
    at = open_page("runs", ru="gone,../../etc")
    assert "not in this workspace" in at.warning[0].value
    assert not at.error


def test_what_no_run_recorded_has_no_column():
    write("one")
    shown = open_page("runs").dataframe[0].value
    assert {"run", "loss", "fvu", "l0"} <= set(shown.columns)
    assert not {"dead_share", "loss_recovered"} & set(shown.columns)
    assert not shown.isna().any(axis=None)


def test_numbers_that_are_none_are_a_warning_not_an_error():
    write("one")
    path = Workspace().path_of("dictionaries", "one") / "metrics.jsonl"
    path.write_text(path.read_text() + '{"dictionary": "mlp_in.0", "chunk": 3, "step": 4, "loss": NaN}\n')
    at = open_page("runs")
    assert "no number at chunk 3" in text_of(at)
    assert not at.error


def test_settings_leave_as_toml():
    told = as_toml({"a.b": 1, "c": [0.1, 2], "d": None, "e": 'x"y'})
    assert tomllib.loads(told) == {"a.b": 1, "c": [0.1, 2], "e": 'x"y'}
