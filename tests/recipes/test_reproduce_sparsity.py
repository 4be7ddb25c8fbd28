"""Reproductions of activation sparsity from what is shipped."""

import pytest

from workbench.core import Silent
from workbench.recipes import ReproduceConfig
from workbench.recipes.core_neurons import reproduce_coreinfer
from workbench.recipes.reproduce_sparsity import reproduce_sparsity


def test_the_shipped_dial_fills_every_table(tmp_path):
    found = reproduce_sparsity(tmp_path, ReproduceConfig(), Silent()).tables
    assert {row["rule"] for row in found["operating points"]} == {"teal", "cett", "cats", "top-k", "random"}
    assert len(found["summary"]) == len(found["operating points"]) == 10
    curve = found["rise of perplexity, all layers"]
    assert [row["share"] for row in curve] == pytest.approx([0.1 * n for n in range(1, 10)])
    for row in curve:
        assert row["random"] == max(row.values()) > 1


def test_the_shipped_cores_fill_every_table(tmp_path):
    found = reproduce_coreinfer(tmp_path, ReproduceConfig(), Silent()).tables
    changes = [row for row in found["summary"] if row["what"].startswith("core neurons that change")]
    assert [row["published"] for row in changes] == [0.03, 0.06]
    for row in changes:
        assert row["low"] <= row["ours"] <= row["high"]
    losses = {(row["way"], row["share"]): row["above_dense"] for row in found["loss after 256 tokens"]}
    for share in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6):
        assert losses["token, oracle", share] < losses["fixed core", share] < losses["random core", share]
