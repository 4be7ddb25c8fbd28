"""Probes, geometry, lenses, convergence and labels by name, on a planted model."""

import json

import numpy as np
import pytest
import torch

from workbench.core import Result, Site, SiteError, Unit
from workbench.data import PackConfig, labelled_texts, open_text, pack
from workbench.features import LabelConfig
from workbench.models import load_model
from workbench.recipes import (
    ProbeSteeringConfig,
    TextRowsConfig,
    converge_by_name,
    geometry_by_name,
    keep_labels,
    lens_by_name,
    parse_sites,
    probe_by_name,
    steer_by_probe,
)
from workbench.workspace import Database, Workspace
from workbench_probes import (
    ConvergentConfig,
    FittedProbe,
    GeometryConfig,
    LensConfig,
    ProbeConfig,
    load_tuned_lens,
    read_probe,
)  # fmt: skip

MODEL, TEXT = "planted-places", "synthetic-places:120"
PACK = PackConfig(sequence_length=24, heldout_share=0.3)


def test_a_probe_by_name_tells_what_the_text_says(tmp_path):
    texts = [text for _, text in open_text(TEXT).documents()]
    rows = [{"text": text, "label": "north" if "north" in text else "not"} for text in texts]
    (tmp_path / "table.jsonl").write_text("\n".join(map(json.dumps, rows)))
    place = Workspace(tmp_path)
    config = ProbeConfig(folds=2, inner_folds=2, shuffles=2, strengths=(0.1,), bootstrap=50)
    steer = ProbeSteeringConfig(strengths=(0.001, 4.0), random=1, sequences=4, texts=24)
    found = probe_by_name(
        place, str(tmp_path / "table.jsonl"), ["resid_post"], config, TextRowsConfig(pool="mean", tokens=24),
        name="north", model=MODEL, steer=steer, text=TEXT, offline=True,
    )  # fmt: skip
    assert found.probes.scalars["best_score"] > 0.8
    assert [row["baseline"] for row in found.probes.tables["baselines"]] == ["majority", "tokens", "length"]
    assert Result.load(place.path_of("results", "north")).id == found.probes.id
    assert found.steering is not None
    weak, strong = found.steering.tables["steering"][:2]
    assert abs(weak["kl"]) < 1e-5 < 1e-4 < strong["kl"]
    assert weak["loss_change"] == pytest.approx(0, abs=1e-2)
    assert found.steering.fig().data
    probe = read_probe(found.probes)
    assert probe.direction("north").dot(probe.direction("not")) == pytest.approx(-1, abs=1e-5)


def test_a_direction_that_writes_words_makes_texts_with_them_likelier(planted):
    texts = [text for _, text in open_text(TEXT).documents()]
    labelled = labelled_texts([(text, "river" if "riv-" in text else "capital", None) for text in texts])
    words = sorted({word for text in texts for word in text.split() if "-" in word})
    sign = torch.tensor([1.0 if word.startswith("riv-") else -1.0 for word in words])
    columns = planted.params()["unembed.W_U"][:, [planted.tokenizer.encode(word)[0] for word in words]]
    site = Site("resid_post", planted.shape.n_layers - 1)
    probe = FittedProbe(site, (columns @ sign)[None], torch.zeros(1), labelled.classes)
    rows = np.random.default_rng(0).normal(size=(50, planted.shape.d_model)).astype(np.float32)
    config = ProbeSteeringConfig(strengths=(-2.0, 0.0, 2.0), random=2, sequences=4, texts=40)
    ordinary = pack(open_text(TEXT), planted.tokenizer, PACK, planted.policy).take(torch.arange(4))
    table = steer_by_probe(planted, probe, rows, labelled, ordinary, config).tables["steering"]
    away, still, towards = table[:3]
    assert away["preference_high"] < -0.05
    assert still["preference"] == still["kl"] == 0
    assert towards["preference_low"] > 0.05
    assert all(abs(row["preference"]) < 0.1 * towards["preference"] for row in table[3:])
    assert table[3]["loss"] - table[3]["loss_change"] == pytest.approx(still["loss"])


def test_sites_are_read_with_ranges(planted):
    assert len(parse_sites(["resid_post"], planted)) == planted.shape.n_layers
    assert [str(site) for site in parse_sites(["mlp_out.0-1,embed"], planted)] == ["mlp_out.0", "mlp_out.1", "embed"]
    with pytest.raises(SiteError, match="no layer"):
        parse_sites(["resid_post.99"], planted)


@pytest.fixture(scope="module")
def planted():
    return load_model(MODEL)


@pytest.mark.slow
def test_geometry_lens_and_convergence_by_name(tmp_path):
    place = Workspace(tmp_path)
    cloud = GeometryConfig(rows=300, pair_rows=100, neighbours=4)
    geometry = geometry_by_name(place, MODEL, TEXT, config=cloud, pack=PACK)
    assert len(geometry.tables["sites"]) > 1
    config = LensConfig(sequences=20, chunk_sequences=10, passes=2, heldout_sequences=6, bootstrap=50)
    lens = lens_by_name(place, "lens", MODEL, TEXT, config, PACK, offline=True)
    first = lens.tables["lenses"][0]
    assert first["tuned_low"] <= first["tuned"] <= first["tuned_high"]
    assert first["gain"] == pytest.approx(first["logit"] - first["tuned"], abs=1e-6)
    assert load_tuned_lens(place.path_of("models", "lens")).translators
    assert lens.fig().data
    few, side = ConvergentConfig(rows=200, clusters=0, predicted=0), f"{MODEL}@resid_post.0"
    same = converge_by_name(place, side, side, TEXT, few, PACK)
    assert same.scalars["one_to_one"] > 0.99


def test_labels_are_kept_with_their_scores(tmp_path):
    row = {"unit": "sae:set:resid_post.0:3", "label": "numbers", "f1": 0.7, "precision": 0.8, "rules": [["class", "x"]]}
    none = {"unit": "sae:set:resid_post.0:4", "label": "nothing found", "f1": 0.0, "rules": []}
    result = Result("labels", tables={"labels": [row, none]}, params={"source": "tokens"})
    keep_labels(Database(tmp_path), result)
    (label,) = Database(tmp_path).automatic_labels("set").values()
    assert (label.unit, label.text, label.score) == (Unit.parse(row["unit"]), "numbers", 0.7)
    assert label.details["precision"] == 0.8
    assert LabelConfig().units == 200
