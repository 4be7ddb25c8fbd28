"""`workbench reproduce`, from the shipped models."""

import json

import pytest
from typer.testing import CliRunner

from workbench.evaluation import AutomatonEvalConfig
from workbench.recipes import reproduce_codebooks as module
from workbench_app.cli.main import app


@pytest.fixture(autouse=True)
def short(monkeypatch):
    config = AutomatonEvalConfig(loss_sequences=16, free_samples=4, code_sequences=8, pairs=12, bootstrap=20)
    monkeypatch.setattr(module, "AutomatonEvalConfig", lambda: config)


def run(tmp_path, *words):
    return CliRunner().invoke(app, ["reproduce", *words, "--workspace", str(tmp_path)])


def test_the_shipped_plain_model_is_measured(tmp_path):
    done = run(tmp_path, "codebooks", "--runs", "scaled-plain", "--json")
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    (row,) = result["tables"]["models"]
    assert row["above_floor"] < 0.01
    assert row["finished"]
    assert result["tables"]["curves"][-1]["loss"] < result["tables"]["curves"][0]["loss"]


def test_a_table_is_printed_with_its_definitions(tmp_path):
    done = run(tmp_path, "codebooks", "--runs", "scaled-plain")
    assert done.exit_code == 0, done.output
    assert "models" in done.stdout
    assert "curves" not in done.stdout


def test_an_unknown_name_is_refused(tmp_path):
    done = run(tmp_path, "codebook")
    assert done.exit_code != 0
