"""Bigram subnetworks by name: trained, gone on with, judged beside their controls, shown; imported from a pickle."""

import json
import pickle
import random

import pytest
import torch
from typer.testing import CliRunner

from workbench.core import ArtifactError, Result
from workbench.evaluation import BigramEvalConfig
from workbench.models import load_model
from workbench.recipes import (
    evaluate_bigram,
    import_bigram,
    open_subnetwork,
    reproduce_bigram_smollm2 as shipped,
    train_bigram,
)
from workbench.recipes.judge_bigrams import overlap_row
from workbench.recipes.reproduce_bigram import selected
from workbench.subnetworks import MaskConfig, TargetConfig, to_hugging_face
from workbench.workspace import Workspace

MODEL = "planted-bigram"


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    draw, folder = random.Random(0), tmp_path_factory.mktemp("text")
    for number in range(30):
        words = " ".join(f"w{draw.randrange(1, 24)}" for _ in range(100))
        (folder / f"{number}.txt").write_text(words)
    return str(folder)


@pytest.fixture(scope="module")
def place(tmp_path_factory, text):
    place = Workspace(tmp_path_factory.mktemp("workspace"))
    for name, target in (("mine", "own"), ("whole", "full")):
        config = MaskConfig(steps=8, batch_sequences=4, chunk_steps=4, lr=0.05, penalty=1.0)
        result = train_bigram(place, name, config, TargetConfig(target=target), model=MODEL, text=text)
        assert result.scalars["steps"] == 8
    return place


def test_training_is_kept_and_found_again(place, text):
    own = open_subnetwork(place, "mine")
    assert own.details["target"]["target"] == "own"
    again = train_bigram(
        place, "mine", MaskConfig(steps=8, batch_sequences=4, chunk_steps=4, lr=0.05, penalty=1.0),
        TargetConfig(target="own"), model=MODEL, text=text,
    )  # fmt: skip
    assert again.scalars["kept"] == own.kept
    assert len(again.tables["training"]) == 2
    assert again.fig() is not None


def test_it_is_judged_beside_its_controls(place):
    result = evaluate_bigram(place, "mine", optimal="whole")
    variants = [row["variant"] for row in result.tables["answers"]]
    assert variants == ["full model", "subnetwork", "embeddings only", "random mask 0", "random mask 1",
                        "random mask 2", "optimal subnetwork"]  # fmt: skip
    full = result.tables["answers"][0]
    assert full["loss"] == result.tables["removed"][0]["loss"]
    assert all(row["divergence"] > 0 for row in result.tables["answers"])
    removal = result.tables["removal"]
    assert [row["share"] for row in removal] == [0, 0.03, 0.1, 0.3, 1] * 2
    assert removal[4]["loss"] == result.tables["removed"][1]["loss"] != removal[3]["loss"] != full["loss"]
    assert [row["entries"] for row in removal[:5]] == [row["entries"] for row in removal[5:]]
    assert {row["layer"] for row in result.tables["rotation"]} == {0, 1, 2}
    assert result.arrays["covariance similarity, full model"].shape == (3, 3)
    for name in (None, "bigram density", "bigram rotation", "bigram removal"):
        assert len(result.fig(name).data) > 0
    assert "subnetwork" in result._repr_html_()
    assert [record["step"] for record in result.tables["training"]] == [4, 8]
    saved = Result.load(place.path_of("results", "mine-bigrams"))
    assert saved.scalars == result.scalars


def test_overlap_with_itself_is_one_over_the_share(place):
    own = open_subnetwork(place, "mine")
    row = overlap_row(own, own)
    assert row["contained"] == 1
    assert row["overlap"] == pytest.approx(own.share)
    assert row["expected"] < row["overlap"]
    assert row["random_low"] < row["expected"] < row["random_high"]


def test_released_masks_are_read(place, tmp_path):
    model, own = load_model(MODEL), open_subnetwork(place, "mine")
    names = to_hugging_face(own, model.shape)
    path = tmp_path / "subnetwork_dict_lambda1e1.pickle"
    path.write_bytes(pickle.dumps({name: mask.numpy() for name, mask in names.items()} | {"orig_model_name": MODEL}))
    found = import_bigram(place, path, "released", model)
    assert found.details["orig_model_name"] == MODEL
    assert all(torch.equal(found.masks[name], mask) for name, mask in own.masks.items())
    with pytest.raises(ArtifactError, match="model and text"):
        evaluate_bigram(place, "released")


def test_a_shipped_judgement_gets_rows_of_its_own(place, monkeypatch):
    assert shipped.shipped_judgement().name == "smollm2-own-bigrams"
    monkeypatch.setattr(shipped, "shipped_judgement", lambda: place.path_of("results", "no-such"))
    assert shipped.smollm2_tables() == {}
    assert shipped.smollm2_lines("paper", 0.5, 0.9) == []
    evaluate_bigram(place, "mine", BigramEvalConfig(random_masks=1, rotation_sequences=4, removed_shares=()))
    monkeypatch.setattr(shipped, "shipped_judgement", lambda: place.path_of("results", "mine-bigrams"))
    tables = shipped.smollm2_tables()
    kept = {row["variant"]: row["kept_share"] for row in tables["smollm2"]}
    share = open_subnetwork(place, "mine").share
    assert kept == {"full model": 1, "subnetwork": share, "embeddings only": 0, "random mask 0": share}
    full, own = shipped.smollm2_lines("paper", 0.5, 0.9)
    assert (full.ours, own.ours) == tuple(row["r"] for row in tables["smollm2"][:2])
    assert own.published == 0.9


def test_the_commands(place, text):
    from workbench_app.cli import app

    run = CliRunner()
    done = run.invoke(app, ["bigram", "show", "mine", "--workspace", str(place.path), "--json"])
    shown = json.loads(done.stdout)
    assert sum(row["kept"] for row in shown["matrices"]) == shown["details"]["kept"]
    done = run.invoke(
        app, ["bigram", "train", "--name", "short", "--model", MODEL, "--text", text, "--steps", "2", "--target", "own",
              "--batch-sequences", "4", "--workspace", str(place.path), "--json"],
    )  # fmt: skip
    assert json.loads(done.stdout)["scalars"]["steps"] == 2


def test_the_sparsest_that_is_nearly_as_good_is_selected():
    rows = [{"mask": "full model", "r": 0.5}]
    grid = ((0, 0.97), (1, 0.96), (5, 0.94), (9, 0.8))
    rows += [{"mask": f"lambda-{penalty}", "lambda": penalty, "r": r} for penalty, r in grid]
    assert selected(rows) == "lambda-5"
