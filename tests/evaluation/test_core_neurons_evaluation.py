"""Measurements of core neurons on small models whose answers are known."""

import pytest
import torch
from scipy.stats import spearmanr
from transformers import LlamaConfig, LlamaForCausalLM

from workbench.core import ConfigError, ModelError, Result, TextError
from workbench.data import PackConfig, open_text, pack
from workbench.evaluation import (
    CoreClustersConfig,
    CoreLossConfig,
    CoreSimilarityConfig,
    CoreStabilityConfig,
    core_loss,
    core_similarity,
    core_stability,
    similarity_guided,
)
from workbench.evaluation.paraphrases import Paraphrase
from workbench.models import PlainModel, load_plain
from workbench.recipes import core_by_name, measure_core
from workbench.workspace import Workspace

TEXT = "synthetic-sentences:60"


@pytest.fixture(scope="module")
def plain() -> PlainModel:
    return load_plain("tiny-sentences")


def packed(plain: PlainModel, tokens: int):
    return pack(open_text(TEXT), plain.tokenizer, PackConfig(sequence_length=tokens, heldout_share=0.3))


def test_loss_by_share(plain):
    text = packed(plain, 8)
    config = CoreLossConfig(prefix=4, follow=4, sequences=12, shares=(0.05, 0.5, 1.0))
    result = core_loss(plain, text, config)
    rows = {(row["way"], row["share"]): row for row in result.tables["loss"]}
    for way in ("fixed core", "token, by gate", "token, oracle", "random core"):
        whole = rows[way, 1.0]
        assert whole["above_dense"] == pytest.approx(0, abs=1e-4), "everything is the model itself"
        assert whole["agreement"] == 1
        assert rows[way, 0.05]["above_dense"] > rows[way, 0.5]["above_dense"] - 0.05
    assert rows["token, oracle", 0.05]["above_dense"] < rows["random core", 0.05]["above_dense"]
    dense = rows["dense", 1.0]
    ids = text.ids[(text.lengths >= 8).nonzero().flatten()].long()
    assert dense["tokens"] == 12 * 3
    assert dense["documents"] <= 12
    if len(ids) == 12:
        logits = plain.model(ids).logits[:, 4:7].log_softmax(2)
        wanted = -logits.gather(2, ids[:, 5:8, None]).mean()
        assert dense["loss"] == pytest.approx(float(wanted), rel=1e-4)
    assert result.fig() is not None
    assert result.df().shape[0] == 13
    assert core_loss(plain, text, config).tables == result.tables


def test_stability_of_a_repeated_text(plain):
    text = packed(plain, 10)
    config = CoreStabilityConfig(prefixes=(3, 6), added=(2, 4), sequences=6, beta=0.2)
    result = core_stability(plain, text, config)
    rows = {(row["prefix"], row["against"]): row for row in result.tables["stability"]}
    assert all(0 <= row["change"] <= 1 for row in rows.values())
    assert rows[3, "4 tokens more"]["change"] >= rows[3, "2 tokens more"]["change"] - 0.1
    layers = [row["change"] for row in result.tables["layers"] if (row["prefix"], row["added"]) == (6, 2)]
    assert sum(layers) / len(layers) == pytest.approx(rows[6, "2 tokens more"]["change"])
    everything = core_stability(plain, text, config.model_copy(update={"beta": 1.0}))
    assert all(row["change"] == 0 for row in everything.tables["stability"]), "core = everything at beta 1"
    assert result.fig() is not None


def test_similarity_needs_a_tokenizer_and_finds_equal_sentences(plain):
    torch.manual_seed(0)
    sizes = LlamaConfig(vocab_size=50, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2)
    with pytest.raises(ModelError, match="no tokenizer"):
        core_similarity(PlainModel(LlamaForCausalLM(sizes).eval()))
    groups = [
        ("the old man", "the old man", "the dog"),
        ("a girl", "a girl", "the girl"),
        ("the cat", "the cat", "a man"),
    ]
    result = core_similarity(plain, CoreSimilarityConfig(), [Paraphrase(*one) for one in groups])
    same = result.tables["grades"][0]
    assert same["pairs"] == "same"
    assert same["core_overlap"] == 1
    assert same["cosine_of_embeddings"] == pytest.approx(1)
    first = result.tables["similarity"][0]
    arrays = result.arrays
    assert first["spearman"] == pytest.approx(spearmanr(arrays["core_overlap"], arrays["meaning_graded_by_hand"])[0])
    assert arrays["meaning_graded_by_hand"].tolist()[:3] == [2, 1, 0]
    assert first["pairs"] == 36
    assert result.fig() is not None


def test_clusters_of_one_are_all_texts(plain):
    text = packed(plain, 8)
    config = CoreClustersConfig(prefix=4, follow=4, sequences=6, clusters=1, training=10, shares=(0.3,))
    result = similarity_guided(plain, text.split("train"), text.split("heldout"), config)
    rows = {row["way"]: row for row in result.tables["loss"]}
    assert rows["similar texts' core"]["loss"] == rows["all texts' core"]["loss"]
    assert rows["dense"]["loss"] <= rows["token, oracle"]["loss"] + 0.05
    more = similarity_guided(
        plain, text.split("train"), text.split("heldout"), config.model_copy(update={"clusters": 5})
    )
    assert {row["way"] for row in more.tables["loss"]} == set(rows)


def test_by_name_and_what_is_refused(plain, tmp_path):
    config = CoreLossConfig(prefix=4, follow=4, sequences=2, shares=(0.5,))
    place = Workspace(tmp_path)
    result = core_by_name(place, "core", "loss", config, model="tiny-sentences", text=TEXT)
    assert result.params["model"] == "tiny-sentences"
    assert Result.load(place.path_of("results", "core")).id == result.id
    with pytest.raises(ConfigError, match="cannot measure 'speed'"):
        measure_core(plain, TEXT, "speed")
    with pytest.raises(TextError, match="wanted texts of 500 tokens"):
        core_loss(plain, packed(plain, 8), CoreLossConfig(prefix=400, follow=100))
    with pytest.raises(ValueError, match="shares are above 0"):
        CoreLossConfig(shares=(0.0,))
