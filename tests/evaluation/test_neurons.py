"""Neurons as dictionaries: exact with all of them, the best k otherwise; several sets side by side."""

import pytest
import torch
from models.families import build_hooked

from workbench.core import ConfigError, Site
from workbench.dictionaries import CoderConfig, dictionaries_for_layers
from workbench.evaluation import EvaluateConfig, evaluate, neurons_at, side_by_side

CONFIG = EvaluateConfig(batch_sequences=3, bootstrap=50)
OUT, RESID = Site("mlp_out", 1), Site("resid_post", 0)


@pytest.fixture(scope="module")
def rows(model, text):
    return {
        site: torch.cat(
            [
                model.capture(ids[:length].long(), [site])[site][0, 1:]
                for ids, length in zip(text.ids, text.lengths.tolist(), strict=True)
            ]
        )
        for site in (Site("mlp_post", 1), OUT, RESID)
    }


@torch.no_grad()
def test_all_neurons_are_the_mlp(model, text, rows):
    made = neurons_at(model, {OUT: 10_000, RESID: 10_000}, text)
    assert made[Site("mlp_post", 1)].width == model.shape.d_mlp
    assert made[RESID].width == model.shape.d_model
    for neurons in made.values():
        out = neurons(rows)
        for site, y in out.items():
            assert torch.allclose(y, rows[site], atol=1e-5)
    result = evaluate(model, made, text, CONFIG)
    assert result.scalars["kl_dictionary"] == pytest.approx(0, abs=1e-6)
    assert result.scalars["fvu_mean"] == pytest.approx(0, abs=1e-8)


@torch.no_grad()
@pytest.mark.parametrize("k", [1, 3])
def test_k_neurons_against_a_loop(model, text, rows, k):
    (neurons,) = neurons_at(model, {OUT: k}, text, sequences=len(text)).values()
    weight, post = model.params()["blocks.1.mlp.W_out"], rows[Site("mlp_post", 1)]
    mean = post.mean(0)
    wanted = []
    for row in post:
        size = (row - mean).abs() * weight.norm(dim=1)
        keep = sorted(range(len(row)), key=lambda i: -float(size[i]))[:k]
        wanted.append(mean @ weight + sum((row[i] - mean[i]) * weight[i] for i in keep))
    assert torch.allclose(neurons(rows)[OUT], torch.stack(wanted), atol=1e-5)
    assert neurons.encode(rows).l0().tolist() == [k] * len(post)
    assert torch.equal(neurons.writers(torch.tensor([2]))[OUT][0], weight[2])


def test_neurons_behind_a_norm_are_refused(text):
    gemma = build_hooked("gemma2")[0]
    with pytest.raises(ConfigError, match="no neuron of"):
        neurons_at(gemma, {OUT: 3}, text)


def test_side_by_side(model, text, rows):
    sae = dictionaries_for_layers("topk-sae", [0], 24, CoderConfig(d_sae=30, k=4), "sae")
    for dictionary in sae.values():
        dictionary.initialise({RESID: rows[RESID]}, 0)
    results = {
        "sae": evaluate(model, sae, text, CONFIG, {"untrained": sae.copy()}),
        "neurons": evaluate(model, neurons_at(model, {RESID: 4, OUT: 4}, text), text, CONFIG),
    }
    joined = side_by_side(results)
    table = joined.tables["dictionaries"]
    found = [(row["set"], row["variant"], row["site"]) for row in table]
    assert found == [
        ("sae", "dictionary", str(RESID)),
        ("sae", "untrained", str(RESID)),
        ("neurons", "dictionary", str(RESID)),
        ("neurons", "dictionary", str(OUT)),
    ]
    assert table[0]["fvu"] == table[1]["fvu"] == results["sae"].tables["layers"][0]["fvu"]
    assert table[2]["l0"] == 4
    assert table[2]["family"] == "neurons"
    whole = [row["variant"] for row in joined.tables["splice"]]
    assert whole.count("model") == 1
    assert whole.count("mean") == whole.count("zero") == 2
    assert joined.df("splice")["ce"].notna().all()


def test_evaluations_of_two_texts_are_not_put_side_by_side(model, text):
    neurons = neurons_at(model, {RESID: 4}, text)
    first = evaluate(model, neurons, text, CONFIG)
    other = evaluate(model, neurons, text.take(torch.arange(3)), CONFIG)
    with pytest.raises(ConfigError, match="on another text"):
        side_by_side({"a": first, "b": other})
    with pytest.raises(ConfigError, match="no evaluation"):
        side_by_side({})
