"""Sets of a workspace judged side by side, from Python and from the command line."""

import json

import pytest

from workbench.core import ConfigError, Site
from workbench.data import PackConfig
from workbench.dictionaries import CoderConfig, CrossLayerConfig, DictionarySet, dictionaries_for_layers, new_set
from workbench.evaluation import EvaluateConfig
from workbench.recipes import judge_by_name, open_subject
from workbench.store import StreamRows
from workbench.training import TrainConfig, fit
from workbench.workspace import Workspace

TEXT, PACK = "synthetic-places:120", PackConfig(sequence_length=24)
CONFIG = EvaluateConfig(bootstrap=20)
TRAIN = TrainConfig(batch_rows=256, initial_rows=600)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Workspace:
    """Two seeds of an autoencoder, a transcoder, and a sweep of two autoencoders at one site."""
    place = Workspace(tmp_path_factory.mktemp("workspace"))
    model, packed = open_subject("planted-places", TEXT, PACK)
    rows = StreamRows(model, packed.split("train"), (Site("resid_post", 1), Site("mlp_in", 1), Site("mlp_out", 1)), 32)

    def new(family: str, name: str, k: int = 6) -> DictionarySet:
        return dictionaries_for_layers(family, [1], 256, CoderConfig(d_sae=64, k=k), name)

    sets = {"one": new("topk-sae", "one"), "two": new("topk-sae", "two"), "coder": new("topk-transcoder", "coder")}
    members = {f"k{k}": new("topk-sae", "sweep", k)[Site("resid_post", 1)] for k in (3, 8)}
    sets["sweep"] = DictionarySet(members, "sweep")
    for seed, (name, members) in enumerate(sets.items()):
        fit(members, rows, place.path_of("dictionaries", name), TRAIN.model_copy(update={"seed": seed}))
    return place


def test_everything_side_by_side(place):
    also = ("probing", "absorption", "stability")
    judged = judge_by_name(place, ["one", "two", "coder"], TEXT, CONFIG, PACK, also=also)
    rows = judged.comparison.tables["dictionaries"]
    sets = {(row["set"], row["variant"]) for row in rows}
    assert {("one", "dictionary"), ("one", "untrained"), ("coder", "affine")} <= sets
    neurons = [row for row in rows if row["family"] == "neurons"]
    by_site = {row["site"]: row["l0"] for row in neurons}
    assert set(by_site) == {"resid_post.1", "mlp_out.1"}
    for row in rows:
        if row["variant"] == "dictionary" and row["family"] != "neurons":
            assert any(abs(round(row["l0"]) - n["l0"]) < 1 for n in neurons if n["site"] == row["site"])
    assert {row["set"] for row in judged.more["absorption"].tables["absorption"]} <= {"one", "two"}
    pairs = {(row["first"], row["second"]) for row in judged.more["stability"].tables["stability"]}
    assert ("one", "two") in pairs
    assert not any("coder" in pair for pair in pairs)
    saved = {entry.name for entry in place.list("results")}
    assert {"one-evaluation", "coder-evaluation", "one-comparison", "one-probing", "one-stability"} <= saved


def test_members_of_a_sweep_are_judged_one_by_one(place):
    judged = judge_by_name(place, ["sweep"], TEXT, CONFIG, PACK, neurons=False, also=("stability",))
    assert set(judged.evaluations) == {"sweep:k3", "sweep:k8"}
    low, high = (judged.evaluations[f"sweep:k{k}"].scalars["l0_mean"] for k in (3, 8))
    assert low <= 3 < high <= 8
    assert all("fvu_untrained" in result.tables["layers"][0] for result in judged.evaluations.values())


def test_a_sweep_over_layers_is_judged_kind_by_kind(tmp_path):
    """Each kind's layers stand in the model together, and a kind that spans layers beside them."""
    place = Workspace(tmp_path)
    model, packed = open_subject("planted-places", TEXT, PACK)
    layers = range(model.shape.n_layers)
    wanted = [
        ("cross-layer-transcoder", CrossLayerConfig(d_sae=16, k=4)),
        ("topk-transcoder", CoderConfig(d_sae=16, k=4)),
        ("topk-transcoder", CoderConfig(d_sae=24, k=4)),
    ]
    made = new_set(wanted, model.shape.row_size, layers=layers, name="layers")
    rows = StreamRows(model, packed.split("train"), tuple({s: 0 for d in made.values() for s in d.sizes}), 32)
    fit(made, rows, place.path_of("dictionaries", "layers"), TRAIN)
    judged = judge_by_name(place, ["layers"], TEXT, CONFIG, PACK, neurons=False)
    crossing = f"layers:mlp_in.0-{layers[-1]}-cross-layer-transcoder-d_sae16"
    kinds = [crossing, "layers:topk-transcoder-d_sae16", "layers:topk-transcoder-d_sae24"]
    assert list(judged.evaluations) == kinds
    for name, result in judged.evaluations.items():
        found = [(row["site"], row["width"]) for row in result.tables["layers"]]
        assert found == [(f"mlp_out.{layer}", 24 if "24" in name else 16) for layer in layers]
        assert all(row["l0"] <= 4 for row in result.tables["layers"])
    splices = {row["set"] for row in judged.comparison.tables["splice"] if row["variant"] == "dictionary"}
    assert splices == set(kinds)


def test_what_cannot_be_measured_is_said(place):
    with pytest.raises(ConfigError, match="cannot measure 'probng'"):
        judge_by_name(place, ["one"], TEXT, CONFIG, PACK, also=("probng",))
    quick = EvaluateConfig(bootstrap=10, splice=False)
    with pytest.raises(ConfigError, match="write the same site"):
        judge_by_name(place, ["one", "coder"], TEXT, quick, PACK, neurons=False, also=("stability",))
    with pytest.raises(ConfigError, match="writes where it reads"):
        judge_by_name(place, ["coder"], TEXT, quick, PACK, neurons=False, also=("absorption",))


@pytest.mark.parametrize("as_json", [True, False])
def test_the_command(place, monkeypatch, capsys, as_json):
    from workbench_app.cli import app

    words = ["evaluate", "one", "coder", "--text", TEXT, "--sequence-length", "24", "--bootstrap", "20"]
    words += ["--workspace", str(place.path), "--also", "probing", *(["--json"] if as_json else [])]
    with pytest.raises(SystemExit) as stop:
        app(words)
    assert not stop.value.code
    out, err = capsys.readouterr()
    if as_json:
        found = json.loads(out)
        assert set(found) == {"evaluations", "comparison", "probing"}
        assert set(found["evaluations"]) == {"one", "coder"}
        assert found["evaluations"]["one"]["tables"]["density"]
    else:
        assert "fvu interval" in out
        assert "neurons at the L0 of one" in out
        assert "Shrinkage" in err
