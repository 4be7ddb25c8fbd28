"""Probing, absorption and stability: known answers on arrays made by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from sklearn.linear_model import LogisticRegression

from workbench.core import ConfigError
from workbench.evaluation import AbsorptionConfig, ProbingConfig, absorption, sparse_probing, stability
from workbench.evaluation.probe import Probe, by_mean_difference, score, split_groups

PROBING = ProbingConfig(bootstrap=50, least_positives=5)
LETTERS = AbsorptionConfig(bootstrap=50, least_words=10)


@pytest.fixture(scope="module")
def planted():
    """600 rows, a label that latent 7 holds exactly and that lies along two coordinates, 30 documents."""
    draw = np.random.default_rng(0)
    label = draw.random(600) < 0.3
    codes = np.maximum(draw.normal(size=(600, 20)), 0)
    codes[:, 7] = label * (1 + draw.random(600))
    activations = draw.normal(size=(600, 8))
    activations[:, [2, 3]] += 1.2 * label[:, None]
    return codes, activations, label, np.repeat(np.arange(30), 20)


def test_one_latent_is_enough_where_it_is_the_label(planted):
    codes, activations, label, groups = planted
    result = sparse_probing(codes, activations, {"planted": label}, groups, PROBING)
    rows = {(row["representation"], row["k"]): row for row in result.tables["probing"]}
    best = rows["latents", 1]
    assert best["units"] == [7]
    assert best["accuracy"] == best["auc"] == best["f1"] == 1
    assert 0.5 < rows["neurons", 1]["accuracy"] < rows["neurons", 2]["accuracy"] < 1
    assert set(rows["neurons", 2]["units"]) == {2, 3}
    assert rows["activations", None]["accuracy"] > rows["neurons", 1]["accuracy"]
    assert rows["majority", 0]["accuracy"] == pytest.approx(0.5)
    for k in (1, 2, 5):
        assert abs(rows["latents, shuffled labels", k]["accuracy"] - 0.5) < 0.12
    for row in result.tables["probing"]:
        assert 0 <= row["accuracy"] <= 1
        assert row["n"] == 180
    assert result.scalars["accuracy_latents_k1"] == 1


def test_rare_labels_are_left_out(planted):
    codes, activations, label, groups = planted
    rare = np.zeros_like(label)
    rare[:4] = True
    assert sparse_probing(codes, activations, {"rare": rare}, groups, PROBING).tables["probing"] == []


def test_no_document_lies_on_both_sides():
    groups = np.random.default_rng(0).integers(0, 25, 300)
    split = split_groups(groups, 0.3, 5)
    assert not set(groups[split.train]) & set(groups[split.test])
    assert sorted([*split.train, *split.test]) == list(range(300))


def test_a_probe_is_logistic_regression_on_scaled_columns(planted):
    _, x, label, _ = planted
    scaled = (x - x.mean(0)) / x.std(0)
    plain = LogisticRegression(C=0.1, class_weight="balanced", max_iter=500).fit(scaled, label)
    probe = Probe(x, label)
    assert np.allclose(probe.logits(x), plain.decision_function(scaled))
    moved = x + 1e-3 * probe.direction
    slope = float(probe.direction @ probe.direction)
    assert np.allclose(probe.logits(moved) - probe.logits(x), 1e-3 * slope, rtol=1e-5)


@settings(max_examples=25)
@given(st.integers(0, 1000))
def test_scores_against_counting(seed):
    draw = np.random.default_rng(seed)
    label, logits = draw.random(40) < 0.4, draw.normal(size=40)
    if label.all() or not label.any():
        return
    found = score(logits, label, np.arange(40) // 4, PROBING)
    hits = (logits > 0) & label
    sensitivity, specificity = hits.sum() / label.sum(), ((logits <= 0) & ~label).sum() / (~label).sum()
    assert found.accuracy.value == pytest.approx((sensitivity + specificity) / 2)
    wins = [(p > q) for p in logits[label] for q in logits[~label]]
    assert found.auc == pytest.approx(np.mean(wins))
    assert found.f1 == pytest.approx(2 * hits.sum() / (label.sum() + (logits > 0).sum()))


def test_mean_difference_against_sorting(planted):
    codes, _, label, _ = planted
    difference = codes[label].mean(0) - codes[~label].mean(0)
    assert by_mean_difference(codes, label, 4).tolist() == sorted(range(20), key=lambda f: -abs(difference[f]))[:4]
    assert (
        by_mean_difference(codes, label, 4, positive=True).tolist()
        == sorted(range(20), key=lambda f: -difference[f])[:4]
    )


def spelling(absorbs: bool, splits: int = 1):
    """1200 words of 4 letters; one word in eight of letter `a` is special, of one of 6 kinds.

    Latents: 0 and perhaps 10 for `a`, 1 to 3 for b, c, d, 4 to 9 for the kinds of special words. In an absorbing
    dictionary the special latents write `a` as well, and the latent of `a` is silent there.
    """
    draw = np.random.default_rng(1)
    letters = np.array(list("abcd"))[draw.integers(0, 4, 1200)]
    special = (letters == "a") & (draw.random(1200) < 0.12)
    kind = np.where(special, draw.integers(0, 6, 1200), -1)
    axes = np.linalg.qr(draw.normal(size=(12, 12)))[0]
    one_hot = kind[:, None] == np.arange(6)
    rows = axes[np.searchsorted(list("abcd"), letters)] + one_hot @ axes[4:10]
    codes, decoder = np.zeros((1200, 11)), np.zeros((11, 12))
    half = draw.random(1200) < 0.5
    is_a = (letters == "a") & ~(special & absorbs)
    codes[:, 0] = is_a & (half | (splits == 1))
    codes[:, 10] = is_a & ~half & (splits == 2)
    decoder[0] = decoder[10] = axes[0]
    for number, letter in enumerate("bcd", start=1):
        codes[:, number], decoder[number] = letters == letter, axes[number]
    codes[:, 4:10] = one_hot
    decoder[4:10] = axes[4:10] + absorbs * axes[0]
    return codes, rows + 0.02 * draw.normal(size=(1200, 12)), decoder, letters.tolist(), special


def test_absorption_by_hand_is_found_and_a_clean_dictionary_has_none():
    codes, activations, decoder, letters, special = spelling(absorbs=True)
    result = absorption(codes, activations, decoder, letters, LETTERS)
    rows = {row["label"]: row for row in result.tables["absorption"]}
    assert rows["a"]["main"] == [0]
    assert 0.05 < rows["a"]["absorbed"] < 0.4
    assert rows["a"]["fraction"] >= rows["a"]["absorbed"]
    assert all(rows[letter]["absorbed"] == rows[letter]["fraction"] == 0 for letter in "bcd")
    found = result.tables["absorbed"]
    assert found
    assert all(row["by"] == int(codes[row["row"], 4:10].argmax()) + 4 for row in found)
    assert all(special[row["row"]] for row in found)
    share = len(found) / rows["a"]["recognised"]
    assert rows["a"]["absorbed"] == pytest.approx(share)

    clean = absorption(*spelling(absorbs=False)[:4], LETTERS)
    assert clean.scalars["absorbed_mean"] == clean.scalars["fraction_mean"] == 0
    assert clean.scalars["splits_mean"] == 1
    assert clean.scalars["probe_f1_mean"] > 0.95


def test_a_split_letter_is_counted_and_is_no_absorption():
    result = absorption(*spelling(absorbs=False, splits=2)[:4], LETTERS)
    rows = {row["label"]: row for row in result.tables["absorption"]}
    assert rows["a"]["splits"] == 2
    assert set(rows["a"]["main"]) == {0, 10}
    assert rows["b"]["splits"] == 1
    assert result.scalars["absorbed_mean"] == 0


@settings(max_examples=10)
@given(st.integers(0, 1000))
def test_absorption_stays_between_0_and_1(seed):
    draw = np.random.default_rng(seed)
    codes = np.maximum(draw.normal(size=(80, 10)), 0)
    letters = [str(letter) for letter in draw.choice(list("ab"), 80)]
    result = absorption(codes, draw.normal(size=(80, 5)), draw.normal(size=(10, 5)), letters, LETTERS)
    for row in result.tables["absorption"]:
        if row["recognised"]:
            assert 0 <= row["absorbed"] <= 1
            assert 0 <= row["fraction"] <= 1


def test_stability_of_a_permuted_copy_is_1_and_controls_say_chance():
    draw = torch.Generator().manual_seed(0)
    rows, codes = torch.randn(60, 16, generator=draw), torch.rand(300, 60, generator=draw)
    order = torch.randperm(60, generator=draw)
    result = stability({"one": rows, "two": 2 * rows[order]}, {"one": codes, "two": 5 * codes[:, order] + 1})
    table = {(row["second"], row["measure"]): row for row in result.tables["stability"]}
    for measure in ("decoder", "activations"):
        assert table["two", measure]["mean_matched"] == pytest.approx(1, abs=1e-5)
        assert table["two", measure]["share_same"] == 1
        assert result.scalars[f"mean_matched_{measure}"] == pytest.approx(1, abs=1e-5)
    assert 0.3 < table["random", "decoder"]["mean_matched"] < 0.8
    assert table["shuffled activations", "activations"]["mean_matched"] < 0.3
    for row in table.values():
        assert row["mean_max"] >= row["mean_matched"] - 1e-6


def test_a_shared_dominant_direction_raises_the_stricter_control():
    draw = torch.Generator().manual_seed(0)
    rows = {name: torch.randn(50, 16, generator=draw) * torch.tensor([30.0] + [1.0] * 15) for name in "ab"}
    table = {row["second"]: row["mean_matched"] for row in stability(rows).tables["stability"]}
    assert table["random, same covariance"] > table["random"] + 0.2
    assert table["b"] == pytest.approx(table["random, same covariance"], abs=0.1)


def test_stability_needs_two_of_one_size():
    for rows in ({"a": torch.ones(3, 2)}, {"a": torch.ones(3, 2), "b": torch.ones(3, 4)}):
        with pytest.raises(ConfigError, match="at least two dictionaries"):
            stability(rows)
