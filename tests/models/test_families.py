"""Every family against Hugging Face and against a plain forward pass from canonical parameters."""

import copy

import pytest
import torch

from workbench.core import Edit, Site, SiteError
from workbench.models import HookedModel

from .families import FAMILIES, build_hooked, random_ids
from .reference import Reference, read_positions

IDS = random_ids()
SPLIT = ("attn_q_input", "attn_k_input", "attn_v_input")


@pytest.fixture(scope="module", params=FAMILIES)
def single(request):
    return build_hooked(request.param)


@pytest.fixture(scope="module", params=FAMILIES)
def double(request):
    return build_hooked(request.param, torch.float64)


def reference(double) -> Reference:
    model, untouched = double
    return Reference(model.shape, model.params(), read_positions(untouched.config, model.shape))


def every_site(model: HookedModel, layer: int) -> list[Site]:
    layered = [kind for kind in model.site_kinds() if kind not in ("embed", "lnf_scale", "final_norm", "logits")]
    return [Site(kind, layer) for kind in layered] + [Site(kind) for kind in model.site_kinds() if kind not in layered]


def close(found, wanted, tolerance=1e-8):
    found, wanted = found.detach(), wanted.detach()
    found = torch.where(found < -1e30, 0, found)
    wanted = torch.where(wanted < -1e30, 0, wanted)
    assert (found - wanted).abs().max() <= tolerance * max(1.0, float(wanted.abs().max()))


def test_shapes(single):
    model, untouched = single
    shape, config = model.shape, untouched.config
    neox, gpt2, gemma = "neox" in shape.family, shape.family == "gpt2", "gemma" in shape.family
    assert shape.family == config.model_type
    assert (shape.n_layers, shape.n_heads, shape.d_mlp, shape.d_vocab, shape.n_ctx) == (
        3 if gemma else 2,
        4,
        40,
        50,
        64,
    )
    assert (shape.d_model, shape.d_head, shape.n_kv_heads) == (
        (32, 8, 4) if neox else (24, 6, 4) if gpt2 else (24, 8, 2)
    )
    assert (shape.gated, shape.norm) == ((False, "layer") if neox or gpt2 else (True, "rms"))
    assert shape.parallel == (neox and config.use_parallel_residual)
    assert shape.sandwich == gemma
    assert shape.rotary != gpt2
    assert shape.logit_softcap == (4.0 if shape.family == "gemma2" else None)


@pytest.mark.parametrize(
    "site",
    ["resid_post.0", "mlp_post.1", "attn_z.0", "attn_z.1.h2", "attn_k.0", "attn_q_input.0", "lnf_scale", "logits"],
)
def test_the_shape_knows_the_length_of_every_row(single, site):
    model = single[0]
    assert model.shape.row_size(Site.parse(site)) == model.capture(IDS, [site])[Site.parse(site)][0, 0].numel()


def test_logits_equal_hugging_face(single):
    model, untouched = single
    wanted = untouched(IDS).logits
    close(model.run(IDS).logits, wanted, 1e-5)
    close(model.run(IDS, sites=["attn_pattern.0"]).logits, wanted, 1e-5)


def test_reference_from_params_gives_the_logits(double):
    model, untouched = double
    run = reference(double)
    logits = run(IDS)
    close(model.run(IDS).logits, logits)
    close(model.run(IDS, sites=["attn_pattern.0"]).logits, logits)
    close(logits, untouched(IDS).logits, 1e-5)


def test_every_site_holds_what_the_reference_computes(double):
    model, _ = double
    run = reference(double)
    run(IDS)
    for layer in range(model.shape.n_layers):
        sites = every_site(model, layer)
        found = model.capture(IDS, sites)
        assert set(found) == set(sites)
        for site in sites:
            assert found[site].shape == run.values[site].shape, site
            close(found[site], run.values[site])


def test_an_added_vector_arrives_downstream_at_every_site(double):
    model, _ = double
    base = reference(double)
    base(IDS)
    unedited = model.run(IDS).logits
    generator = torch.Generator().manual_seed(1)
    for site in every_site(model, 1):
        vector = 0.5 * torch.randn(base.values[site].shape, generator=generator, dtype=torch.float64).abs()
        edited = reference(double)
        edited.added = {site: vector}
        wanted = edited(IDS)
        run = model.run(IDS, [Edit.set(site, base.values[site] + vector)], sites=[site])
        close(run.logits, wanted, 1e-7)
        close(run.activations[site], edited.values[site], 1e-7)
        assert (run.logits - unedited).abs().max() > 1e-4, site


def test_residual_identities(double):
    model, _ = double
    v = torch.ones(model.shape.d_model, dtype=torch.float64)
    sites = ["resid_pre.1", "attn_out.1", "mlp_out.1", "resid_post.1"]
    sites += [] if model.shape.parallel else ["resid_mid.1"]
    for edits in ([], [Edit.add("attn_out.1", v)], [Edit.add("resid_pre.1", v)]):
        found = {str(site): x for site, x in model.capture(IDS, sites, edits).items()}
        total = found["resid_pre.1"] + found["attn_out.1"]
        if not model.shape.parallel:
            close(total, found["resid_mid.1"])
        close(total + found["mlp_out.1"], found["resid_post.1"])


def test_missing_sites_are_refused(single):
    model, _ = single
    if model.shape.parallel:
        with pytest.raises(SiteError, match="parallel"):
            model.capture(IDS, ["resid_mid.0"])
    if not model.shape.gated:
        with pytest.raises(SiteError, match="no site mlp_pre_linear"):
            model.capture(IDS, ["mlp_pre_linear.0"])
    with pytest.raises(SiteError, match=f"layers run from 0 to {model.shape.n_layers - 1}"):
        model.capture(IDS, ["mlp_in.9"])
    with pytest.raises(SiteError, match="heads run from 0 to 3"):
        model.capture(IDS, ["attn_z.0.h4"])
    with pytest.raises(SiteError, match=f"heads run from 0 to {model.shape.n_kv_heads - 1}"):
        model.capture(IDS, [Site("attn_k", 0, model.shape.n_kv_heads)])


def test_every_canonical_weight_can_be_replaced(double):
    model, _ = double
    params = model.params()
    generator = torch.Generator().manual_seed(2)
    unedited = model.run(IDS).logits
    for name in [
        name for name in params if ".1." in name or "." not in name.split("blocks.")[-1] or "blocks" not in name
    ]:
        new = params[name] + 0.1 * torch.randn(params[name].shape, generator=generator, dtype=torch.float64)
        changed = reference(double)
        changed.params = params | {name: new}
        found = model.run(IDS, weights={name: new}).logits
        close(found, changed(IDS), 1e-7)
        assert name.endswith("b_K") or (found - unedited).abs().max() > 1e-5, name
    close(model.run(IDS).logits, unedited, 0)


def test_gradients_flow_to_replaced_weights(double):
    model, _ = double
    name = "blocks.0.attn.W_V"
    weight = model.params()[name].clone().requires_grad_()
    model.run(IDS, weights={name: weight}).logits[:, -1, 3].sum().backward()
    again = reference(double)
    plain = weight.detach().clone().requires_grad_()
    again.params = again.params | {name: plain}
    again(IDS)[:, -1, 3].sum().backward()
    close(weight.grad, plain.grad, 1e-6)


def test_gradients_at_every_site(double):
    model, _ = double
    sites = [site for site in every_site(model, 1) if site.kind not in SPLIT]
    found = model.grads(IDS, lambda logits: logits[0, -1, 3] - logits[1, -2, 5], sites)
    for site in sites:
        run = reference(double)
        run(IDS)
        zero = torch.zeros_like(run.values[site]).requires_grad_()
        run.added = {site: zero}
        logits = run(IDS)
        (wanted,) = torch.autograd.grad(logits[0, -1, 3] - logits[1, -2, 5], zero)
        close(found[site], wanted, 1e-6)


def test_bfloat16_activations_keep_the_dtype(single):
    model = build_hooked(next(iter(FAMILIES)), torch.bfloat16)[0]
    found = model.capture(IDS, ["mlp_in.0", "attn_z.1", "resid_post.1"])
    assert {x.dtype for x in found.values()} == {torch.bfloat16}
    assert copy.copy(model.dtype) == torch.bfloat16
