"""The quick demo, whole, with no network: the planted circuit is found and everything is where it should be."""

import json
import socket
from html import unescape
from pathlib import Path

import pytest

from workbench.core import CircuitGraph, read_artifact
from workbench.recipes import demo, demo_settings, report_by_name
from workbench.report import WordsConfig, read_report
from workbench.workspace import Workspace


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """One run of the quick demo with sockets blocked."""

    def refuse(*args, **kwargs):
        raise AssertionError("the quick demo asked for the network")

    place = Workspace(tmp_path_factory.mktemp("quick"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_CACHE", str(place.path / "cache"))
        patch.setattr(socket.socket, "connect", refuse)
        patch.setattr(socket, "create_connection", refuse)
        return place, demo(demo_settings(quick=True), place)


def test_the_planted_circuit_is_found(done):
    _, outcome = done
    assert outcome.scalars["planted_recall"] == 1.0
    assert outcome.scalars["planted_precision"] >= 0.8
    assert all(row["found"] != "no" for row in outcome.tables["planted_circuit"])


def test_theory_holds_and_training_matters(done):
    _, outcome = done
    assert outcome.scalars["sums_worst_ratio"] < 1e-3
    assert outcome.scalars["validation_exact_direct_worst_ratio"] < 1e-3
    assert outcome.scalars["validation_exact_total_worst_ratio"] < 1e-3
    assert outcome.scalars["evaluation_fvu_mean"] < 0.1 < outcome.scalars["evaluation_fvu_untrained_mean"]
    groups = {(row["prompt"], row["set"], row["n"]): row for row in outcome.tables["group_removal"]}
    assert {prompt for prompt, _, _ in groups} == {1, 2, 3}
    for prompt in (1, 2, 3):
        trained, untrained = groups[prompt, "trained", 2], groups[prompt, "untrained", 2]
        assert trained["start"] - trained["free"] > 1.5 * (untrained["start"] - untrained["free"])


def test_the_workspace_holds_it_all_and_nothing_half_written(done):
    place, outcome = done
    names = {(entry.folder, entry.name) for entry in place.list()}
    assert {("dictionaries", "quick"), ("graphs", "quick"), ("reports", "quick"), ("stores", "quick-scan")} <= names
    assert {("results", f"quick-{part}") for part in ("validation", "contexts", "effects", "sums", "controls")} <= names
    assert not [entry.problem for entry in place.list() if entry.problem]
    for entry in place.list():
        read_artifact(entry.path).verify()
    assert not list(place.path.rglob("*.tmp"))
    json.dumps(outcome.to_json())


def test_the_report_is_self_contained(done):
    _, outcome = done
    html = unescape(Path(outcome.reports["html"]).read_text(encoding="utf-8"))
    assert "<script" not in html
    assert "default-src 'none'" in html
    report = json.loads(Path(outcome.reports["json"]).read_text(encoding="utf-8"))
    assert report["schema"] == "workbench.report/1"


def test_a_second_run_trains_nothing_and_finds_the_same(done):
    place, outcome = done
    metrics = place.path_of("dictionaries", "quick") / "metrics.jsonl"
    before, graph = metrics.stat().st_mtime_ns, CircuitGraph.load(place.path_of("graphs", "quick"))
    again = demo(demo_settings(quick=True), place)
    assert metrics.stat().st_mtime_ns == before
    assert CircuitGraph.load(place.path_of("graphs", "quick")).manifest.content_hash == graph.manifest.content_hash
    same = {key: value for key, value in outcome.scalars.items() if key != "seconds"}
    assert {key: value for key, value in again.scalars.items() if key != "seconds"} == pytest.approx(same)


def test_a_report_by_name_in_markdown(done):
    place, _ = done
    words = WordsConfig(title="Why Korea?", author="A. Colleague", confidence="moderate")
    path, data = report_by_name(place, "quick", ("markdown", "json"), words=words)
    text = path.read_text()
    assert "cap-north-korea" in text
    assert "# Why Korea?" in text
    assert "Confidence: moderate" in text
    told = read_report(data)
    assert told.block("header").author == "A. Colleague"
    assert told.block("reproduce").command.endswith(
        "--title 'Why Korea?' --author 'A. Colleague' --confidence moderate"
    )


@pytest.mark.slow
@pytest.mark.real
def test_the_whole_demo_on_the_real_model(tmp_path, smollm2):
    outcome = demo(demo_settings(), Workspace(tmp_path), offline=True)
    assert outcome.scalars["evaluation_fvu_mean"] <= 0.33
    assert outcome.scalars["evaluation_ce_dictionary"] <= 4.75
    assert outcome.scalars["sums_worst_ratio"] <= 1e-3
