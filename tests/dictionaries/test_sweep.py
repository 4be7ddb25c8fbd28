"""Several dictionaries at one site: their names, and what they share."""

import pytest

from workbench.core import ConfigError, Site
from workbench.dictionaries import CoderConfig, CrossLayerConfig, DictionarySet, ReLUConfig, load_dictionaries, new_set


def size(site: Site) -> int:
    return 6


def test_members_are_called_by_what_sets_them_apart():
    one = new_set([("topk-transcoder", CoderConfig(k=4))], size, layers=[2, 5], name="s")
    assert list(one) == ["mlp_in.2", "mlp_in.5"]
    assert one["mlp_in.5"].name == "s/mlp_in.5"
    wanted = [("topk-sae", CoderConfig(d_sae=width, k=4)) for width in (16, 32)]
    found = new_set([*wanted, ("relu-sae", ReLUConfig(d_sae=16))], size, layers=[0])
    assert list(found) == [
        "resid_post.0-topk-sae-d_sae16",
        "resid_post.0-topk-sae-d_sae32",
        "resid_post.0-relu-sae-d_sae16",
    ]
    assert len(found.reading(Site("resid_post", 0))) == 3
    with pytest.raises(ConfigError, match="3 dictionaries read resid_post.0"):
        found[Site("resid_post", 0)]
    with pytest.raises(ConfigError, match="are called mlp_in.0"):
        new_set([("topk-transcoder", CoderConfig(k=4))] * 2, size, layers=[0])


def test_one_that_spans_layers_serves_them_all():
    wanted = [
        ("cross-layer-transcoder", CrossLayerConfig(d_sae=4, k=2)),
        ("topk-transcoder", CoderConfig(d_sae=8, k=2)),
    ]
    found = new_set(wanted, size, layers=[1, 2, 3])
    assert [name.split("-")[0] for name in found] == ["mlp_in.1", "mlp_in.1", "mlp_in.2", "mlp_in.3"]
    assert found["mlp_in.1-3-cross-layer-transcoder-d_sae4"].width == 12
    assert found.layers == (1, 2, 3)


def test_sites_are_for_autoencoders(tmp_path):
    sites = [Site("attn_z", 1, 2), Site("attn_z", 1)]
    sizes = {sites[0]: 4, sites[1]: 12}
    found = new_set([("topk-sae", CoderConfig(d_sae=8, k=2))], sizes.__getitem__, sites=sites)
    assert list(found) == ["attn_z.1.h2", "attn_z.1"]
    assert [member.sizes for member in found.values()] == [{sites[0]: 4}, {sites[1]: 12}]
    found.save(tmp_path / "set")
    assert list(load_dictionaries(tmp_path / "set")) == list(found)
    with pytest.raises(ConfigError, match="cannot be put at attn_z.1.h2"):
        new_set([("topk-transcoder", None)], sizes.__getitem__, sites=sites)


def test_names_that_are_no_folders_are_refused():
    member = next(iter(new_set([("topk-sae", CoderConfig(d_sae=8, k=2))], size, layers=[0]).values()))
    for name in ("", "../up", "a/b", ".hidden"):
        with pytest.raises(ConfigError, match="cannot name"):
            DictionarySet({name: member})
