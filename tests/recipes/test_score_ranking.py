"""Scores of a set and its spoiled copies, on a planted model whose exact transcoders are known."""

import pytest
import torch

from workbench.core import PromptPair
from workbench.dictionaries import CoderConfig, DictionarySet, dictionaries_for_layers
from workbench.models import HookedModel, load_model
from workbench.recipes import ScoreRankingConfig, rank_scores, spoiled_sets

PLACES = (("north", "korea"), ("south", "dakota"), ("east", "timor"))


def exact_set(model: HookedModel) -> DictionarySet:
    """One feature per neuron, and an affine path that carries nothing."""
    width = model.shape.d_mlp
    config = CoderConfig(d_sae=width, k=width)
    found = dictionaries_for_layers("topk-skip-transcoder", range(2), model.shape.d_model, config, "exact")
    params = model.params()
    for layer, dictionary in enumerate(found.values()):
        prefix = f"blocks.{layer}.mlp."
        named = {"W_enc": params[prefix + "W_in"].T, "b_enc": params[prefix + "b_in"]}
        named |= {"W_dec": params[prefix + "W_out"], "b_dec": params[prefix + "b_out"]}
        dictionary.load_state_dict({**dictionary.state_dict(), **{k: v.clone() for k, v in named.items()}})
    return found


@pytest.fixture(scope="module")
def ranked():
    model = load_model("planted-places")
    pairs = [
        PromptPair(
            f"the man from {first} {second} saw a big dog and said the capital",
            f"cap-{first}-{second}",
            "cap-west-sahara",
        )
        for first, second in PLACES
    ]
    trained = exact_set(model)
    sets = spoiled_sets(model, trained, {}, pairs, seed=0)
    return sets, rank_scores(model, sets, pairs, ScoreRankingConfig(max_feature_nodes=40))


def test_the_exact_set_has_the_largest_group_effect(ranked):
    sets, result = ranked
    ranking = result.df("ranking").set_index("set")
    assert list(ranking.index) == list(sets) == ["trained", "shuffled decoder", "affine only", "broken"]
    effect = ranking["group_effect"]
    assert effect["trained"] > 0.9
    assert effect["affine only"] == 0
    assert effect["shuffled decoder"] < effect["trained"]
    assert (ranking["group_effect low"] <= effect).all()
    assert ranking.loc["affine only", "group_effect beaten"] == 1


def test_every_prompt_and_set_is_in_the_table(ranked):
    sets, result = ranked
    prompts = result.df("prompts")
    assert len(prompts) == len(PLACES) * len(sets)
    means = prompts.groupby("set")["replacement"].mean()
    assert result.scalars["broken: replacement"] == pytest.approx(means["broken"])
    assert not result.partial


def test_only_the_broken_set_has_another_affine_path(ranked):
    sets, _ = ranked
    whole, broken = (sets[name]["mlp_in.0"] for name in ("trained", "broken"))
    assert torch.equal(whole.W_enc, broken.W_enc)
    assert torch.equal(whole.W_dec, broken.W_dec)
    assert not torch.equal(whole.W_skip, broken.W_skip)
