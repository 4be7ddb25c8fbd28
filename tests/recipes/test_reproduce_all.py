"""`reproduce` of everything in one table, and `reproduce crate` from training to table."""

import json

import pytest
from typer.testing import CliRunner

import workbench  # noqa: F401  (names the providers of the registry)
from workbench.core import ArtifactError, ConfigError, Result, names, registry
from workbench.models import CrateConfig
from workbench.recipes import Compared, ReproduceConfig, list_reproductions, reproduce, reproduce_all, summary
from workbench.recipes.crate_runs import CrateRun
from workbench.training import ModuleConfig
from workbench.workspace import Workspace
from workbench_app.cli.main import app


def works(folder, config, progress):
    """One number."""
    progress.phase("count")
    return Result("one", tables={"summary": summary(Compared("Someone 2020", "share", 0.25, 0.2, 0.3, 0.5, "size"))})


def counts(folder, config, progress):
    """Two numbers."""
    return Result("two", scalars={"n": 2.0}, tables={"own": [{"n": 2}]})


def fails(folder, config, progress):
    """Nothing."""
    raise ArtifactError("the shipped model is missing", hint="install the package again")


def breaks(folder, config, progress):
    """Nothing."""
    return {}["no such key"]


@pytest.fixture
def three(monkeypatch):
    names("reproduction")
    found = {"a-fails": fails, "b-works": works, "c-breaks": breaks}
    monkeypatch.setitem(registry._entries, "reproduction", found)


def test_one_that_fails_stops_no_other(tmp_path, three):
    result = reproduce_all(Workspace(tmp_path))
    (row,) = result.tables["summary"]
    assert (row["reproduction"], row["ours"], row["low"], row["published"]) == ("b-works", 0.25, 0.2, 0.5)
    errors = {run["reproduction"]: run["error"] for run in result.tables["runs"]}
    assert errors["b-works"] is None
    assert errors["a-fails"].startswith("the shipped model is missing")
    assert "no such key" in errors["c-breaks"]
    assert result.scalars["failed"] == 2


def test_one_without_rows_of_its_own_gives_its_scalars(tmp_path, three, monkeypatch):
    monkeypatch.setitem(registry._entries["reproduction"], "counts", counts)
    (row,) = reproduce_all(Workspace(tmp_path), ["counts"]).tables["summary"]
    assert (row["what"], row["ours"], row["published"]) == ("n", 2.0, "tables of `workbench reproduce counts`")


def test_the_command_prints_one_table_and_says_that_something_failed(tmp_path, three):
    def run(*words):
        return CliRunner().invoke(app, ["reproduce", *words, "--workspace", str(tmp_path)])

    printed = run()
    assert printed.exit_code == 1
    assert "0.250 [0.200, 0.300]" in printed.stdout
    assert "0.500" in printed.stdout
    assert json.loads(run("--json").stdout)["tables"]["summary"][0]["paper"] == "Someone 2020"
    listed = json.loads(run("--list", "--json").stdout)
    assert [row["measures"] for row in listed] == ["Nothing.", "One number.", "Nothing."]
    assert run("b-works").exit_code == 0
    refused = run("--from-scratch")
    assert isinstance(refused.exception, ConfigError | SystemExit)
    assert refused.exit_code != 0


def test_every_reproduction_says_what_it_measures():
    listed = list_reproductions()
    assert {"bigram", "codebooks", "crate", "lazy-neuron"} <= {row["reproduction"] for row in listed}
    assert all(row["measures"].endswith(".") for row in listed)


SIZE = {"width": 16, "heads": 2}
FEW = ModuleConfig(steps=12, lr=5e-3, warm_up=2, steps_per_record=6)
SHORT = (
    CrateRun(name="crate-0", model=CrateConfig(layers=2, **SIZE), training=FEW, batch=32),
    CrateRun(name="plain-0", model=CrateConfig(blocks="plain", layers=1, **SIZE), training=FEW, batch=32),
)


def test_crate_from_scratch_and_again_from_its_artifacts(tmp_path, monkeypatch):
    monkeypatch.setattr("workbench.recipes.reproduce_crate.RUNS", SHORT)
    monkeypatch.setattr("workbench.recipes.reproduce_crate.shipped_classifier", lambda run: tmp_path / "a" / run.name)
    place = Workspace(tmp_path / "w")
    first = reproduce(place, "crate", ReproduceConfig(from_scratch=True, save=tmp_path / "a"))
    again = reproduce(place, "crate")
    blocks = first.tables["blocks by run"]
    assert [(row["state"], row["block"]) for row in blocks] == [("untrained", 0), ("untrained", 1),
                                                                ("trained", 0), ("trained", 1)]  # fmt: skip
    assert all(row["rate_low"] <= row["rate"] <= row["rate_high"] for row in blocks)
    assert all(row["lowered"] == pytest.approx(row["rate_before"] - row["rate"]) for row in blocks)
    assert again.tables["blocks by run"][2]["rate"] == pytest.approx(blocks[2]["rate"], rel=1e-2)
    assert again.tables["blocks by run"][:2] == blocks[:2]
    assert first.tables["blocks"][3]["rate"] == blocks[3]["rate"]
    lines = {row["what"]: row["ours"] for row in again.tables["summary"]}
    assert lines["accuracy, plain blocks of as many weights"] == again.tables["accuracy"][1]["accuracy"]
    found = lines["coding rate R^c after attention, last block over first, untrained"]
    assert found == pytest.approx(blocks[1]["rate"] / blocks[0]["rate"])


@pytest.mark.slow
def test_the_shipped_models_name_the_digits():
    result = reproduce(Workspace(None), "crate")
    assert all(row["accuracy"] > 0.93 for row in result.tables["accuracy"])
    assert {row["state"] for row in result.tables["blocks"]} == {"trained", "untrained"}
