"""Finding units: every mode against a direct computation on the planted model."""

import pytest
import torch

from workbench.core import ConfigError, Unit
from workbench.features import (
    SearchConfig,
    activations_on,
    active_units,
    contrast_texts,
    search_labels,
    search_pattern,
    search_text,
    search_token,
    unit_of,
)

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
