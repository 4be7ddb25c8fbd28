"""Patching and discovery by name, from Python and from the command line."""

import json

import pytest
from typer.testing import CliRunner

from workbench.circuits import Components, PatchConfig, read_circuit, truth_auroc
from workbench.core import ConfigError, Result
from workbench.models import build_circuit, load_model
from workbench.recipes import SCORERS, DiscoverConfig, discover_by_name, patch_by_name
from workbench.workspace import Workspace
from workbench_app.cli import app

NAME = "planted-induction"
CONFIG = DiscoverConfig(random_circuits=2, steps=2, check_fraction=0.2)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Workspace:
    return Workspace(tmp_path_factory.mktemp("workspace"))


@pytest.mark.slow
def test_every_scorer_is_tested_and_kept(place, monkeypatch, tmp_path):
    file = tmp_path / "circuit.json"
    result = discover_by_name(place, NAME, NAME, SCORERS, CONFIG, 4, device="cpu", circuit_file=file)
    rows = {row["scorer"]: row for row in result.tables["scorers"]}
    assert set(rows) == {*SCORERS, "random circuits"}
    for scorer in SCORERS:
        assert rows[scorer]["seconds"] >= 0
        assert 0 <= rows[scorer]["auroc"] <= 1
        assert ("cpr" in rows[scorer]) == ("incompleteness" in rows[scorer]) == (rows[scorer]["level"] == "edge")
    assert rows["acdc"]["cmd"] < rows["random"]["cmd"]
    assert {row["scorer"] for row in result.tables["curve"]} == {s for s in SCORERS if rows[s]["level"] == "edge"}
    assert len(result.tables["heads"]) == len([n for n in _components().sources if n.startswith("a")])
    scores, _ = read_circuit(file, _components())
    assert scores.tables["edges"] == Result.load(place.path_of("results", f"{NAME}-random")).tables["edges"]

    def never(*_):
        raise AssertionError("a finished step ran again")

    for verb in ("patch", "eap", "acdc", "attribution_patch", "path_patch", "faithfulness", "check_circuit"):
        monkeypatch.setattr(f"workbench.recipes.components.{verb}", never)
    again = discover_by_name(place, NAME, NAME, SCORERS, CONFIG, 4, device="cpu")
    assert again.tables == result.tables
    with pytest.raises(AssertionError, match="ran again"):
        discover_by_name(place, NAME, NAME, SCORERS, CONFIG, 5, device="cpu")


def _components() -> Components:
    return Components.of(load_model(NAME, device="cpu").shape)


def test_exact_patching_finds_the_planted_nodes(place):
    result = patch_by_name(place, NAME, NAME, PatchConfig(), 6, device="cpu")
    truth = build_circuit("induction").nodes
    assert truth_auroc(result, truth, "nodes") >= 0.99
    assert Result.load(place.path_of("results", f"{NAME}-noising-node")).tables == result.tables


def test_unknown_names_are_refused(place):
    with pytest.raises(ConfigError, match="unknown scorer"):
        discover_by_name(place, NAME, NAME, ["eapp"], device="cpu")
    with pytest.raises(ConfigError, match="unknown task"):
        discover_by_name(place, "nothing", NAME, device="cpu")
    nodes, file = DiscoverConfig(exact=False), place.path / "c.json"
    with pytest.raises(ConfigError, match="no scorer scored edges"):
        discover_by_name(place, NAME, NAME, ["attribution"], nodes, 2, device="cpu", circuit_file=file)


def test_the_commands_print_tables_and_json(tmp_path):
    common = [NAME, "--model", NAME, "-n", "3", "--device", "cpu", "--workspace", str(tmp_path)]
    patched = CliRunner().invoke(app, ["circuit", "patch", *common, "--json"])
    assert json.loads(patched.stdout)["params"]["scorer"] == "noising patching"
    shown = CliRunner().invoke(app, ["circuit", "patch", *common, "--positions"])
    assert "largest effects" in shown.stdout
    words = ["circuit", "discover", *common, "-s", "eap", "-s", "mean-difference", "--random-circuits", "2"]
    told = CliRunner().invoke(app, words)
    assert told.exit_code == 0, told.output
    for title in ("scorers", "circuits", "exact ablation of heads", "faithfulness"):
        assert title in told.stdout
    assert json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)["kind"] == "discovery"
