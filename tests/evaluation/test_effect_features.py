"""Shares of a subnetwork's effect against the dictionary's whole reconstruction."""

import pytest
import torch

from workbench.core import Site, SiteError, generator
from workbench.dictionaries import CoderConfig, dictionaries_for_layers
from workbench.evaluation import BigramEvalConfig, effect_features
from workbench.models import load_model
from workbench.subnetworks import Subnetwork
from workbench.subnetworks.planted import random_text


@pytest.fixture(scope="module")
def subject():
    model = load_model("planted-bigram")
    bits = {name: torch.rand(model.params()[name].shape, generator=generator(0, name)) < 0.5
            for name in model.matrices()}  # fmt: skip
    return model, Subnetwork(bits), random_text(model, 1).take(torch.arange(12))


def test_features_and_the_affine_part_are_what_the_dictionary_writes_along_the_effect(subject):
    model, mask, text = subject
    members = dictionaries_for_layers("topk-skip-transcoder", [0, 1], 72, CoderConfig(d_sae=12, k=3))
    member, _ = members.values()
    for name, parameter in member.named_parameters():
        parameter.data.copy_(torch.randn(parameter.shape, generator=generator(1, name)))
    result = effect_features(model, mask, members, text, BigramEvalConfig(bootstrap=50, feature_layers=1))
    row, random = result.tables["effects"]
    ids, (read, write) = text.ids.long(), (Site("mlp_in", 0), Site("mlp_out", 0))
    own = Subnetwork({name: bits for name, bits in mask.masks.items() if name.startswith("blocks.0.mlp")})
    with torch.no_grad():
        whole = model.run(ids, sites=[read, write]).activations
        less = model.run(ids, sites=[write], weights=own.without(model)).activations[write]
        effect = (whole[write] - less)[:, 1:].flatten(0, 1)
        made = member({read: whole[read][:, 1:].flatten(0, 1)})[write]
    square = effect.square().sum()
    assert row["features"] + row["affine"] == pytest.approx(float((made * effect).sum() / square), rel=1e-4)
    assert row["written"] == pytest.approx(float((whole[write][:, 1:].flatten(0, 1) * effect).sum() / square), rel=1e-4)
    assert row["written_low"] <= row["written"] <= row["written_high"]
    assert sum(entry["share"] for entry in result.tables["features"]) == pytest.approx(row["features"], rel=1e-4)
    assert random["mask"] == "random mask"
    assert len(result.fig().data) > 0


def test_other_dictionaries_are_refused(subject):
    model, mask, text = subject
    with pytest.raises(SiteError, match="mlp_out"):
        effect_features(model, mask, dictionaries_for_layers("topk-sae", [0], 72), text, BigramEvalConfig())
