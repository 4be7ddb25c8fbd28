import pytest
from hypothesis import given, strategies as st

from workbench.core import Site, SiteError

LAYERED = [kind for kind in Site.kinds() if kind not in ("embed", "lnf_scale", "final_norm", "logits")]


@given(st.sampled_from(LAYERED), st.integers(0, 99))
def test_both_names_of_a_site_lead_back_to_it(kind, layer):
    site = Site(kind, layer)
    assert Site.parse(str(site)) == site
    assert Site.parse(site.lens_name) == site


@pytest.mark.parametrize("kind", ["embed", "lnf_scale", "final_norm", "logits"])
def test_whole_model_sites(kind):
    assert Site.parse(Site(kind).lens_name) == Site.parse(kind) == Site(kind)


def test_heads():
    site = Site.parse("attn_z.2.h5")
    assert (site.layer, site.head, site.head_axis, site.whole()) == (2, 5, 2, Site("attn_z", 2))
    assert Site.parse("attn_pattern.0").position_axis == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mlp_inn.3", "did you mean mlp_in "),
        ("mlp_in", "needs a layer"),
        ("embed.0", "takes no layer"),
        ("mlp_in.3.h2", "has no heads"),
        ("blocks.3.hook_mlp_ot", "hook_mlp_out"),
        ("", "cannot read the site"),
    ],
)
def test_bad_addresses_say_what_to_try(text, message):
    with pytest.raises(SiteError, match=message):
        Site.parse(text)


def test_a_site_comes_before_its_heads_and_whole_model_sites_compare():
    sites = [Site("attn_z", 1), Site("attn_z", 0, 3), Site("attn_z", 0, 1), Site("attn_z", 0), Site("embed")]
    assert [str(site) for site in sorted(sites)] == ["attn_z.0", "attn_z.0.h1", "attn_z.0.h3", "attn_z.1", "embed"]
