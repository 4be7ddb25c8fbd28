"""Sets of dictionaries: on disk, by layer, and as controls."""

import json

import pytest
import torch
from training.planted_rows import planted_rows

from workbench.core import ArtifactError, ConfigError, Interrupted, Manifest, MaskPolicy, Silent, Site, write_artifact
from workbench.dictionaries import (
    CoderConfig,
    DictionarySet,
    dictionaries_for_layers,
    load_dictionaries,
    load_dictionary,
)

D = 16


@pytest.fixture
def data():
    return planted_rows(layers=3, rows=300).data


def make(data, family: str = "topk-skip-transcoder") -> DictionarySet:
    made = dictionaries_for_layers(family, [0, 1, 2], D, CoderConfig(d_sae=24, k=3), "demo")
    for dictionary in made.values():
        dictionary.initialise(data, 0)
    return made


def test_found_by_site_and_by_layer(data):
    made = make(data)
    assert list(made) == ["mlp_in.0", "mlp_in.1", "mlp_in.2"]
    assert made.layers == (0, 1, 2)
    assert made.by_layer(2) is made[Site("mlp_in", 2)]
    assert made.by_layer(2).name == "demo/mlp_in.2"
    with pytest.raises(ConfigError, match="no dictionar|0 dictionaries at layer 7"):
        made.by_layer(7)
    with pytest.raises(ConfigError, match="two dictionaries of one set read mlp_in.0"):
        DictionarySet([made.by_layer(0), made.by_layer(0)])


def test_unknown_family_offers_the_nearest():
    with pytest.raises(ConfigError, match="topk-transcoder"):
        dictionaries_for_layers("topk-transcodr", [0], D)


def test_saved_and_loaded(data, tmp_path):
    made = make(data)
    manifest = Manifest(kind="", mask=MaskPolicy(skip_first=3), seed=5)
    made.save(tmp_path / "demo", manifest).verify()
    loaded = load_dictionaries(tmp_path / "demo")
    assert loaded.name == "demo"
    assert list(loaded) == list(made)
    assert loaded.manifest is not None
    assert (loaded.manifest.mask, loaded.manifest.seed) == (MaskPolicy(skip_first=3), 5)
    for first, second in zip(made.values(), loaded.values(), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    alone = load_dictionaries(tmp_path / "demo" / "mlp_in.1")
    assert list(alone) == ["mlp_in.1"]


@pytest.mark.parametrize(
    ("claim", "refusal"),
    [
        ({"config": {"d_sae": 10**12, "k": 4}}, "do not fit"),
        ({"config": {"d_sae": 10**30, "k": 4}}, "no dictionary can have the sizes"),
        ({"reads": [["mlp_in.0", 10**15]]}, "do not fit"),
        ({"reads": [["mlp_in.0", -3]]}, "sizes under 'reads' that are none"),
        ({"reads": [["mlp_in.0", "many"]]}, "sizes under 'reads' that are none"),
    ],
)
def test_a_manifest_that_claims_terabytes_allocates_nothing(tmp_path, claim, refusal):
    made = dictionaries_for_layers("topk-transcoder", [0], 16, CoderConfig(d_sae=8, k=4), "honest")
    made["mlp_in.0"].save(tmp_path / "one")
    path = tmp_path / "one" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["details"] |= claim
    path.write_text(json.dumps(manifest))
    with pytest.raises(ArtifactError, match=refusal):
        load_dictionary(tmp_path / "one")


def test_opening_a_set_can_be_cancelled(data, tmp_path, monkeypatch):
    make(data).save(tmp_path / "set", Manifest(kind="dictionary set", mask=MaskPolicy()))
    progress = Silent()
    monkeypatch.setattr(Silent, "cancelled", lambda _: True)
    with pytest.raises(Interrupted, match="while the dictionaries were opened"):
        load_dictionaries(tmp_path / "set", progress=progress)


def test_another_kind_of_artifact_is_refused(tmp_path):
    write_artifact(tmp_path / "graph", Manifest(kind="graph"))
    with pytest.raises(ArtifactError, match="found a graph"):
        load_dictionaries(tmp_path / "graph")


def test_affine_only_keeps_the_skip_and_nothing_else(data, tmp_path):
    made = make(data)
    affine = made.affine_only()
    affine.save(tmp_path / "affine")
    for dictionary, control in zip(made.values(), load_dictionaries(tmp_path / "affine").values(), strict=True):
        wanted = dictionary.bypass(data)[dictionary.writes[0]] + dictionary.b_dec
        torch.testing.assert_close(control(data)[control.writes[0]], wanted)
        assert control.encode(data).k == 0


def test_affine_only_of_a_plain_transcoder_is_its_bias(data):
    made = make(data, "topk-transcoder")
    control = made.affine_only().by_layer(1)
    torch.testing.assert_close(control(data)[Site("mlp_out", 1)], made.by_layer(1).b_dec.expand(300, -1))


def test_shuffled_decoder_permutes_what_features_write(data):
    made = make(data)
    shuffled, again = made.shuffled_decoder(3), made.shuffled_decoder(3)
    for layer in made.layers:
        before, after = made.by_layer(layer), shuffled.by_layer(layer)
        assert torch.equal(after.W_enc, before.W_enc)
        assert torch.equal(after.W_dec, again.by_layer(layer).W_dec)
        assert not torch.equal(after.W_dec, before.W_dec)
        assert torch.equal(after.W_dec.sum(1).sort().values, before.W_dec.sum(1).sort().values)
