"""Finding units: every mode against a direct computation on the planted model."""

import json

import pytest
import torch
from safetensors.torch import load

from workbench.core import ConfigError, Unit
from workbench.features import (
    SearchConfig,
    activations_on,
    active_units,
    contrast_texts,
    direction_file,
    direction_json,
    feature_card,
    search_labels,
    search_pattern,
    search_text,
    search_token,
    unit_map,
    unit_of,
)
from workbench.figures import card_page

from .bench import ANSWER, PLANTED, planted_bench

KOREA = "the man from north korea saw a big dog"
EAST = "a small cat went to east timor and the river"


@pytest.fixture(scope="module")
def subject(tmp_path_factory):
    return planted_bench(tmp_path_factory.mktemp("search"))


def test_labels_are_found_by_every_word():
    unit, other = (Unit.parse(f"sae:a:resid_post.1:{i}") for i in (1, 2))
    labels = {unit: [("plural nouns", "you", 1.0)], other: [("nouns of plural-like form", "tokens", 0.4)]}
    found = search_labels(labels, "PLURAL noun").tables["units"]
    assert [row["unit"] for row in found] == [str(unit), str(other)]
    assert search_labels(labels, "verb").tables["units"] == []


def test_a_pattern_has_the_precision_and_recall_of_counting(subject):
    bench, found = subject
    result = search_pattern(bench, found, r"(?<![-\w])(north|south)(?![-\w])", SearchConfig(least_count=1))
    words = {bench.model.tokenizer.encode(" north")[0], bench.model.tokenizer.encode(" south")[0]}
    target = torch.tensor([[int(i) in words for i in row] for row in found.ids])
    row = result.tables["units"][0]
    unit = Unit.parse(row["unit"])
    active = torch.stack([found.activations(unit, s) != 0 for s in range(len(found.ids))])
    assert row["count"] == int(active.sum())
    assert row["hits"] == int((active & target).sum())
    assert result.scalars["targets"] == int(target.sum())
    assert row["precision"] == row["hits"] / row["count"]
    assert row["recall"] == row["hits"] / int(target.sum())
    with pytest.raises(ConfigError, match="marks no token"):
        search_pattern(bench, found, "(zebra)")


def test_what_fires_on_a_text_is_what_a_capture_says(subject):
    bench, found = subject
    rows = search_text(bench, KOREA, found, SearchConfig(least_count=1)).tables["units"]
    assert rows
    for row in rows[:5]:
        tokens = activations_on(bench, Unit.parse(row["unit"]), KOREA).tables["tokens"]
        peak = max(tokens, key=lambda token: abs(token["activation"]))
        assert peak["position"] == row["position"]
        assert peak["activation"] == pytest.approx(row["largest"], rel=1e-4)
        assert row["relative"] == pytest.approx(abs(row["largest"]) / found.scale(Unit.parse(row["unit"])), rel=1e-3)


def test_the_planted_writer_is_found_by_its_token(subject):
    bench, found = subject
    rows = search_token(bench, f" {ANSWER}", found).tables["units"]
    assert rows[0]["unit"] == str(unit_of(bench.dictionaries, "mlp_in.1", PLANTED))
    lowest = search_token(bench, f" {ANSWER}", found, sign=-1).tables["units"]
    assert lowest[0]["cosine"] < 0
    with pytest.raises(ConfigError, match="tokens"):
        search_token(bench, " north korea")


def test_a_contrast_finds_what_differs_and_nothing_between_equals(subject):
    bench, _ = subject
    config = SearchConfig(permutations=199)
    korea = [f"the {a} from north korea saw a {b} dog" for a in ("man", "woman") for b in ("big", "small", "young")]
    timor = [text.replace("north korea", "east timor") for text in korea]
    row = contrast_texts(bench, korea, timor, config).tables["units"][0]
    unit = Unit.parse(row["unit"])
    a, b = (
        torch.tensor(
            [[t["activation"] for t in activations_on(bench, unit, text).tables["tokens"]][1:] for text in texts]
        )
        for texts in (korea, timor)
    )
    assert row["first"] == pytest.approx(float(a.mean()), abs=1e-4)
    assert row["second"] == pytest.approx(float(b.mean()), abs=1e-4)
    assert row["p"] <= 0.05
    assert row["p"] <= row["p_family"]
    assert row["auroc"] in (0.0, 1.0)
    assert abs(contrast_texts(bench, korea[:1] * 3, timor[:1] * 3, config).tables["units"][0]["effect"]) <= 1.0
    same = contrast_texts(bench, korea[::2] + timor[::2], korea[1::2] + timor[1::2], config).tables["units"]
    assert min(r["p_family"] for r in same) > 0.05
    with pytest.raises(ConfigError, match="two texts"):
        contrast_texts(bench, korea[:1], timor)


def test_the_units_of_a_position_are_all_that_are_active_there(subject):
    bench, found = subject
    ids = bench.model.tokens(KOREA).ids[0]
    result = active_units(bench, ids, 4, found)
    got = {row["unit"]: row["activation"] for row in result.tables["units"]}
    for member in bench.dictionaries:
        for index in range(24):
            unit = unit_of(bench.dictionaries, member, index)
            value = activations_on(bench, unit, KOREA).tables["tokens"][4]["activation"]
            assert got.get(str(unit), 0.0) == pytest.approx(value, abs=1e-5)
    assert all(row["fvu"] >= 0 for row in result.tables["errors"])


def test_every_living_unit_is_a_point_of_the_map(subject):
    bench, scan = subject
    result = unit_map(bench, "mlp_in.1", scan)
    rows = result.tables["map"]
    alive = (scan.table("mlp_in.1")["count"] > 0).nonzero()[:, 0].tolist()
    assert [Unit.parse(str(row["unit"])).index for row in rows] == alive
    assert result.scalars["dead"] == scan.members["mlp_in.1"] - len(alive)
    assert list(result.fig().data[0].customdata) == list(range(len(rows)))
    assert len(unit_map(bench, "mlp_in.1").tables["map"]) == scan.members["mlp_in.1"]


def test_a_direction_leaves_as_a_file_and_a_card_as_an_inert_page(subject):
    bench, scan = subject
    unit = unit_of(bench.dictionaries, "mlp_in.1", PLANTED)
    wanted = bench.dictionaries["mlp_in.1"].W_dec[PLANTED].detach()
    torch.testing.assert_close(load(direction_file(bench, unit))["mlp_out.1"], wanted)
    told = json.loads(direction_json(bench, unit))
    assert told["unit"] == str(unit)
    torch.testing.assert_close(torch.tensor(told["writes"]["mlp_out.1"]), wanted)
    page = card_page(feature_card(bench, scan, unit), "<script>alert(1)</script>")
    assert "<script" not in page
    assert "Strongest examples" in page
    assert [part for part in ('src="http', 'href="http', "url(http") if part in page] == []
