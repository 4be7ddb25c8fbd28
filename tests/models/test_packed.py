"""Models on packed weights and the short way through MLPs against the same models without."""

import copy
import pickle

import pytest
import torch
from torch import nn

from sparse_kernels import can_pack
from workbench.core import Edit, Site
from workbench.models import Sampling, wrap
from workbench.models.packed import PackedForward, packed_forward

from .families import FAMILIES, build, build_hooked, random_ids

IDS = random_ids(10, 20)  # enough rows for packed products and for the short way through MLPs
pytestmark = pytest.mark.skipif(not can_pack(torch.float32), reason="this build of PyTorch has no oneDNN")


def pair(family: str, dtype: torch.dtype = torch.float32):
    """A model on packed weights and an untouched Hugging Face model."""
    model, untouched = build_hooked(family, dtype)
    assert model.pack(force=True)
    return model, untouched


@pytest.fixture(scope="module", params=FAMILIES)
def both(request):
    return pair(request.param)


@pytest.fixture
def llama():
    return pair("llama")[0]


def close(found, wanted, tolerance=1e-5):
    assert (found - wanted).abs().max() <= tolerance * wanted.abs().max().clamp(min=1)


def test_outputs_equal_hugging_face(both):
    model, untouched = both
    wanted = untouched(IDS).logits
    with torch.no_grad():
        close(model.run(IDS).logits, wanted)
    close(model.run(IDS).logits, wanted)
    assert model.memory().packed > 0
    with torch.no_grad():
        assert torch.equal(model.run(IDS).logits, model.run(IDS).logits)


def test_outputs_equal_hugging_face_unpacked(both):
    model, untouched = both
    model.unpack()
    try:
        assert model.memory().packed == 0
        with torch.no_grad():
            close(model.run(IDS).logits, untouched(IDS).logits)
    finally:
        model.pack(force=True)


def test_hooks_inside_see_the_same(both):
    model, _ = both
    kinds = [kind for kind in model.site_kinds() if kind.startswith(("mlp", "attn", "resid")) and kind != "attn_result"]
    sites = [Site(kind, 1) for kind in kinds if not kind.endswith("_input")]
    found = model.capture(IDS, sites)
    model.unpack()
    wanted = model.capture(IDS, sites)
    outer = model.capture(IDS, ["mlp_in.1", "mlp_out.1", "resid_post.1"])
    model.pack(force=True)
    shown = model.capture(IDS, ["mlp_in.1", "mlp_out.1", "resid_post.1"])
    for site in sites:
        low = wanted[site] < -1e30
        close(found[site].masked_fill(low, 0), wanted[site].masked_fill(low, 0))
    for site in outer:
        close(shown[site], wanted[site])
        close(outer[site], wanted[site])


def test_edits_inside_and_around_an_mlp_still_count(both):
    model, _ = both
    vector = torch.linspace(-1, 1, model.shape.d_model)
    edits = [Edit.add("mlp_in.0", vector), Edit.scale("mlp_out.0", 0.5), Edit.scale("mlp_post.1", 0.0)]
    with torch.no_grad():
        found = model.run(IDS, edits, sites=["mlp_post.1"])
    assert not found.activations[Site("mlp_post", 1)].any()
    model.unpack()
    with torch.enable_grad():
        wanted = model.run(IDS, [*edits, Edit.add("embed", torch.zeros(model.shape.d_model, requires_grad=True))])
    model.pack(force=True)
    close(found.logits, wanted.logits)


def test_gradients_of_activations(both):
    model, _ = both
    sites = ["resid_pre.0", "mlp_in.1", "mlp_out.0", "attn_z.1"]

    def metric(logits):
        return (logits[:, -1, 3] - logits[:, -2, 5]).sum()

    found = model.grads(IDS, metric, sites)
    model.unpack()
    wanted = model.grads(IDS, metric, sites)
    model.pack(force=True)
    for site, grad in found.items():
        assert grad.any()
        close(grad, wanted[site])


def test_gradient_of_an_edit_at_mlp_in_is_not_lost(llama):
    vector = torch.zeros(llama.shape.d_model, requires_grad=True)
    run = llama.run(IDS, [Edit.add("mlp_in.0", vector)])
    (found,) = torch.autograd.grad(run.logits[:, -1, 3].sum(), vector)
    wanted = llama.grads(IDS, lambda logits: logits[:, -1, 3].sum(), ["mlp_in.0"])[Site("mlp_in", 0)].sum((0, 1))
    close(found, wanted)


def test_overrides_run_unpacked_and_get_gradients(both):
    model, _ = both
    params = model.params()
    for name in ("blocks.1.mlp.W_in", "blocks.0.attn.W_Q", "blocks.1.attn.W_O", "unembed.W_U"):
        before = model.memory()
        new = (params[name] * 1.5).requires_grad_()
        with torch.no_grad():
            found = model.run(IDS, weights={name: new}).logits
        run = model.run(IDS, weights={name: new})
        close(found, run.logits)
        model.unpack()
        wanted = model.run(IDS, weights={name: new}).logits
        model.pack(force=True)
        close(found, wanted)
        (grad,) = torch.autograd.grad(run.logits[:, -1, 3].sum(), new)
        (plain,) = torch.autograd.grad(wanted[:, -1, 3].sum(), new)
        close(grad, plain)
        assert before.weights == model.memory().weights


def test_a_weight_changed_in_place_is_never_stale(both):
    model, _ = both
    with torch.no_grad():
        before, layers = model.run(IDS).logits, linears(model)
        for linear in layers:
            linear.weight.mul_(1.25)
        found = model.run(IDS).logits
        model.unpack()
        wanted = model.run(IDS).logits
        for linear in layers:
            linear.weight.div_(1.25)
        model.pack(force=True)
        close(found, wanted)
        assert (found - before).abs().max() > 1e-3
        close(model.run(IDS).logits, before)


def test_a_weight_that_trains_runs_unpacked(llama):
    linear = linears(llama)[0]
    linear.weight.requires_grad_()
    try:
        forward = packed_forward(linear)
        assert forward is not None
        assert forward.ready(torch.randn(200, linear.weight.shape[1])) is None
        llama.run(IDS).logits[:, -1, 3].sum().backward()
        assert linear.weight.grad is not None
        assert linear.weight.grad.any()
    finally:
        linear.weight.requires_grad_(False)


def test_a_replaced_mlp_is_called(llama):
    class Zero(nn.Module):
        def forward(self, x):
            return torch.zeros_like(x)

    with llama.with_mlp(0, Zero()):
        assert not llama.capture(IDS, ["mlp_out.0"])[Site("mlp_out", 0)].any()
    assert llama.capture(IDS, ["mlp_out.0"])[Site("mlp_out", 0)].any()


def test_pieces_of_rows_give_the_whole(llama, monkeypatch):
    with torch.no_grad():
        whole = llama.run(IDS).logits
        monkeypatch.setattr("workbench.models.shortcut_mlp.HIDDEN_BYTES", 1)
        pieces = llama.run(IDS).logits
        llama.unpack()
        close(pieces, whole)
        close(llama.run(IDS).logits, whole)


def test_inference_mode_leaves_nothing_behind(llama):
    llama.unpack()
    with torch.inference_mode():
        inside = llama.run(IDS).logits
    with torch.no_grad():
        close(llama.run(IDS).logits, inside.clone())


@pytest.mark.skipif(not can_pack(torch.bfloat16), reason="no native bfloat16 here")
@pytest.mark.parametrize("family", FAMILIES)
def test_bfloat16(family):
    model, untouched = pair(family, torch.bfloat16)
    with torch.no_grad():
        found = model.run(IDS, sites=["resid_post.1"])
        exact = build(family)
        exact.load_state_dict(untouched.state_dict())
        wanted, rough = exact(IDS).logits, untouched(IDS).logits.float()
    assert found.activations[Site("resid_post", 1)].dtype == torch.bfloat16
    assert found.logits is not None
    ours, theirs = (found.logits.float() - wanted).norm(), (rough - wanted).norm()
    assert ours <= 1.3 * theirs


def test_generation_feeds_single_rows(both):
    model, _ = both
    prompts = random_ids(3, 7)
    found = model.generate(prompts, 6, sampling=Sampling(stop_at_eos=False)).ids
    model.unpack()
    wanted = model.generate(prompts, 6, sampling=Sampling(stop_at_eos=False)).ids
    model.pack(force=True)
    assert torch.equal(found, wanted)


def test_copies_and_pickles_pack_their_own_weights():
    linear = nn.Linear(24, 40).requires_grad_(False)
    linear.forward = PackedForward(linear)
    x = torch.randn(50, 24)
    wanted = linear(x)
    for twin in (copy.deepcopy(linear), pickle.loads(pickle.dumps(linear))):
        close(twin(x), wanted)
        twin.weight.zero_()
        twin.bias.zero_()
        assert not twin(x).any()
    close(linear(x), wanted)


def test_switched_off_nothing_is_packed():
    model = wrap(build("llama"), packed=False)
    model.capture(IDS, ["resid_post.1"])
    assert model.memory().packed == 0
    assert not linears(model)


def test_double_precision_stays_unpacked():
    model, _ = build_hooked("llama", torch.float64)
    assert not model.pack(force=True)


def linears(model):
    return [module for module in model._model.modules() if packed_forward(module) is not None]
