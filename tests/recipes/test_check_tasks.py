"""Tasks by name: which there are, and what a model makes of them."""

import json

import pytest
from typer.testing import CliRunner

from workbench.core import TextError, names
from workbench.recipes import check_tasks, known_tasks
from workbench_app.cli import app


def test_every_registered_task_says_what_it_is():
    rows = known_tasks()
    assert [row["task"] for row in rows] == list(names("task"))
    assert all(row["about"] and row["metric"] for row in rows)


def test_a_model_is_checked_on_what_it_can_read():
    result = check_tasks("planted-lookup", count=6, device="cpu")
    rows = {row["task"]: row for row in result.tables["tasks"]}
    assert rows["planted-lookup"]["solved"] == "yes"
    assert rows["planted-lookup"]["right"] == 1
    assert rows["induction"]["solved"] == "-"
    assert "this model knows no word" in rows["demo"]["note"]
    assert result.scalars["solved"] >= 1


def test_a_task_that_was_named_must_be_sayable_and_may_be_beyond_the_model(tmp_path):
    with pytest.raises(TextError, match="induction task needs"):
        check_tasks("planted-lookup", ["induction"], device="cpu")
    path = tmp_path / "wrong.toml"
    path.write_text('[[prompts]]\nprompt = "david carol david"\ntarget = " bob"\nfoil = " carol"\n')
    (row,) = check_tasks("planted-induction", [str(path)], device="cpu").tables["tasks"]
    assert row["solved"] == "no"
    assert "this model cannot do wrong: 0% of 1 prompts are right" in row["note"]


def test_the_command_lists_and_checks(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('[[prompts]]\nprompt = "david carol david"\ntarget = " carol"\nfoil = " bob"\n')
    listed = CliRunner().invoke(app, ["circuit", "tasks", "--json"])
    assert {row["task"] for row in json.loads(listed.stdout)} == set(names("task"))
    words = ["circuit", "tasks", str(path), "--model", "planted-induction", "--device", "cpu", "--json"]
    (row,) = json.loads(CliRunner().invoke(app, words).stdout)["tables"]["tasks"]
    assert (row["task"], row["solved"]) == ("mine", "yes")
