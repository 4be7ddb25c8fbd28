"""Rule labels find planted units, say what they say, and know when there is nothing to say."""

import numpy as np
import pytest
from scipy import sparse

from workbench.core import ConfigError, Site, Unit
from workbench.features import Firing, LabelConfig, label_units, rule_table

WORDS = [" the", " cat", " dog", " walking", " running", " sing", " 7", " 42", ".", ",", " Paris", " Rome", " of", "ed"]
CONFIG = LabelConfig(least_uses=2, window=16)


def planted(noise=0.0, sequences=120, length=24, seed=0):
    """Text with units that fire by known rules; `noise`: share of the firings that are moved elsewhere."""
    draw = np.random.default_rng(seed)
    ids = draw.integers(len(WORDS), size=(sequences, length))
    lengths = np.full(sequences, length)
    kept = np.ones_like(ids, bool)
    kept[:, 0] = False
    tokens = [[WORDS[i] for i in row] for row in ids]
    truths = {
        "set": lambda s, t: tokens[s][t] in (" cat", " dog"),
        "class": lambda s, t: tokens[s][t].strip().isdigit(),
        "ending": lambda s, t: tokens[s][t] in (" walking", " running"),
        "after": lambda s, t: tokens[s][t - 1] == " of",
        "pair": lambda s, t: tokens[s][t - 1] == " the" and tokens[s][t] == " cat",
        "before": lambda s, t: t + 1 < length and tokens[s][t + 1] == ".",
        "nothing": lambda s, t: draw.random() < 0.05,
    }
    rows = list(zip(*kept.nonzero(), strict=True))
    active = np.array([[holds(s, t) for holds in truths.values()] for s, t in rows])
    for column in active.T if noise else ():
        moved = draw.choice(np.flatnonzero(column), int(noise * column.sum()), replace=False)
        column[moved] = False
        column[draw.choice(len(column), len(moved), replace=False)] = True
    table = rule_table(ids, lengths, kept, lambda which: [WORDS[i] for i in which])
    units = tuple(Unit("sae", "made", Site("resid_post", 0), number) for number in range(len(truths)))
    sequence = np.array([s for s, _ in rows])
    found = Firing(units, sparse.csc_matrix(active.astype(np.float32)), table, sequence // 6, sequence)
    return found, list(truths), tokens, rows


@pytest.mark.parametrize("noise", [0.0, 0.03])
def test_planted_units_are_found(noise):
    found, names, _, _ = planted(noise)
    result = label_units(found, CONFIG)
    rows = dict(zip(names, result.tables["labels"], strict=True))
    for name in names[:-1]:
        assert rows[name]["f1"] >= 0.9, (name, rows[name]["label"])
        assert rows[name]["shuffled_f1"] < 0.5
        assert rows[name]["noise_f1"] < 0.4
        assert rows[name]["pmi"] > 0.5
    assert rows["nothing"]["f1"] < 0.3
    if not noise:
        assert rows["class"]["label"] == "numbers"
        assert rows["after"]["label"] == "after ' of'"
        assert rows["before"]["label"] == "before '.'"
        assert rows["pair"]["label"] == "' cat' after ' the'"
        assert "ing'" in rows["ending"]["label"]
        assert rows["set"]["detection"] == rows["set"]["fuzzing"] == 1.0
    assert result.fig().data
    assert "<script" not in result._repr_html_()


def test_the_table_of_rules_agrees_with_the_rules():
    found, _, tokens, rows = planted(sequences=3)
    dense = found.rules.holds.toarray() > 0
    for number in range(0, len(rows), 7):
        sequence, position = rows[number]
        said = {rule for rule, holds in zip(found.rules.rules, dense[number], strict=True) if holds}
        true = {rule for rule in found.rules.rules if rule.holds(tokens[sequence], position)}
        assert said == true


def test_scores_are_of_documents_that_the_rules_did_not_see():
    """A unit that fires on one document's own word is labelled by it there and found out elsewhere."""
    found, _, _, _ = planted()
    memorised = sparse.csc_matrix(
        (found.document % 2 == 0)[:, None] & (np.arange(len(found.document)) % 3 == 0)[:, None]
    )
    odd = Firing(found.units[:1], memorised.astype(np.float32), found.rules, found.document, found.passage)
    row = label_units(odd, CONFIG).tables["labels"][0]
    assert row["f1"] < 0.4


def test_rules_come_back_from_the_table_and_patterns_match():
    import re

    found, names, _, _ = planted()
    row = dict(zip(names, label_units(found, CONFIG).tables["labels"], strict=True))
    assert row["pair"]["rules"] == [["pair", " the", " cat"]]
    assert re.search(row["pair"]["pattern"], "see the cat").group(1) == " cat"
    assert not re.search(row["pair"]["pattern"], "see of cat")
    assert row["after"]["pattern"] == ""


def test_one_document_is_refused():
    found, _, _, _ = planted(sequences=4)
    alone = Firing(found.units, found.active, found.rules, np.zeros_like(found.document), found.passage)
    with pytest.raises(ConfigError, match="other documents"):
        label_units(alone, CONFIG)
