"""Masked weights against weights zeroed by hand in the raw Hugging Face model; soft masks against plain autograd."""

import copy

import pytest
import torch
from models.families import FAMILIES, build_hooked, random_ids

from workbench.core import ArtifactError, ModelError, ShapeError, generator
from workbench.models import wrap
from workbench.subnetworks import Masks, Subnetwork, expected_overlap, from_hugging_face, overlap, to_hugging_face

IDS = random_ids()


@pytest.fixture(scope="module", params=FAMILIES)
def family(request):
    return build_hooked(request.param)


def hand_zeroed(untouched):
    """A raw copy in which random entries of every two-dimensional parameter of the blocks are 0, and the masks."""
    zeroed, masks, draw = copy.deepcopy(untouched), {}, generator(0, "by hand")
    with torch.no_grad():
        for name, parameter in zeroed.named_parameters():
            if parameter.ndim == 2 and (".layers." in name or ".h." in name):
                masks[name] = torch.rand(parameter.shape, generator=draw) < 0.6
                parameter *= masks[name]
    return zeroed, masks


def test_masks_equal_weights_zeroed_by_hand_exactly(family):
    model, untouched = family
    zeroed, masks = hand_zeroed(untouched)
    subnetwork = from_hugging_face(masks, model.shape)
    with torch.no_grad():
        found = model.run(IDS, weights=subnetwork.weights(model)).logits
        assert (found - zeroed(IDS).logits).abs().max() <= 1e-5 * found.abs().max()
        wrapped = wrap(zeroed, None)
        assert torch.equal(found, wrapped.run(IDS).logits)
    for name, weight in subnetwork.weights(model).items():
        assert torch.equal(weight, wrapped.params()[name]), name


def test_what_is_kept_and_what_is_removed_make_the_model(family):
    model, untouched = family
    _, masks = hand_zeroed(untouched)
    subnetwork = from_hugging_face(masks, model.shape)
    kept, removed, params = subnetwork.weights(model), subnetwork.without(model), model.params()
    for name in subnetwork.masks:
        assert torch.equal(kept[name] + removed[name], params[name])
    again = to_hugging_face(subnetwork, model.shape)
    assert set(again) == set(masks)
    assert all(torch.equal(again[name], masks[name]) for name in masks)
    everything = Subnetwork({name: torch.ones_like(mask) for name, mask in subnetwork.masks.items()})
    with torch.no_grad():
        assert torch.equal(model.run(IDS, weights=everything.weights(model)).logits, model.run(IDS).logits)


def test_soft_masks_run_and_learn_as_plain_autograd_does(family):
    model, _ = family
    masks = Masks(model)
    masks.temperature, masks.penalty = 1.7, 3.0
    draw = generator(0, "logits")
    with torch.no_grad():
        for logits in masks.parameters():
            logits.copy_(torch.randn(logits.shape, generator=draw))
    plain = {name: logits.detach().clone().requires_grad_() for name, logits in masks.named_logits()}
    params = model.params()
    soft = {name: torch.sigmoid(1.7 * logits) for name, logits in plain.items()}
    wanted = model.run(IDS, weights={name: params[name] * mask for name, mask in soft.items()}).logits
    found = masks.run(IDS).logits
    assert torch.allclose(found, wanted, atol=1e-5)
    found[:, -1, 3].sum().backward()
    (wanted[:, -1, 3].sum() + 3.0 / masks.total * sum(mask.sum() for mask in soft.values())).backward()
    for name, logits in masks.named_logits():
        assert torch.allclose(logits.grad, plain[name].grad, rtol=1e-3, atol=1e-5), name
    assert masks.mean() == pytest.approx(float(sum(m.detach().sum() for m in soft.values())) / masks.total)
    model.run(IDS)  # the model's own products are back
    assert torch.equal(model.run(IDS).logits, build_hooked_logits(model))


def build_hooked_logits(model):
    return model.run(IDS, weights={name: weight.clone() for name, weight in model.params().items()}).logits.detach()


def test_without_gradients_masks_are_in_force_too(family):
    model, _ = family
    masks = Masks(model)
    with torch.no_grad():
        assert torch.allclose(masks.run(IDS).logits, model.run(IDS, weights=masks.soft_weights()).logits, atol=1e-5)
        assert not torch.allclose(masks.run(IDS).logits, model.run(IDS).logits, atol=1e-2)


def test_bits_come_back(tmp_path):
    model = build_hooked("llama")[0]
    masks = Masks(model)
    with torch.no_grad():
        for logits in masks.parameters():
            logits.copy_(torch.randn(logits.shape, generator=generator(1, "bits")))
    subnetwork = masks.hard()
    subnetwork.save(tmp_path / "a", "a")
    again = Subnetwork.load(tmp_path / "a")
    assert again.kept == subnetwork.kept == masks.decided().kept
    assert all(torch.equal(again.masks[name], mask) for name, mask in subnetwork.masks.items())
    size = (tmp_path / "a" / "tensors.safetensors").stat().st_size
    assert size < subnetwork.total / 8 + 4000
    rows = subnetwork.table()
    assert sum(row["kept"] for row in rows) == subnetwork.kept
    assert sum(row["share"] for row in rows) == pytest.approx(1)


def test_parts_are_nested_and_equal_in_every_block():
    model = build_hooked("gpt2")[0]
    params = model.params()
    own = Subnetwork({name: torch.rand(params[name].shape, generator=generator(3, name)) < 0.3
                      for name in model.matrices()})  # fmt: skip
    small, large, all_of_it = own.part(0.2), own.part(0.5), own.part(1)
    for name, mask in own.masks.items():
        assert (small.masks[name] <= large.masks[name]).all()
        assert (large.masks[name] <= mask).all()
        assert torch.equal(all_of_it.masks[name], mask)
    for names in own.blocks().values():
        kept = sum(int(own.masks[name].sum()) for name in names)
        assert sum(int(small.masks[name].sum()) for name in names) == round(0.2 * kept)
    assert own.part(0).kept == 0


def test_random_masks_have_as_many_entries_in_every_block():
    model = build_hooked("gpt2")[0]
    subnetwork = Subnetwork(
        {name: torch.rand(w.shape, generator=generator(2, name)) < 0.2 for name, w in model.params().items()
         if name in model.matrices()}
    )  # fmt: skip
    drawn = [subnetwork.random(seed) for seed in range(40)]
    for block, names in subnetwork.blocks().items():
        wanted = sum(int(subnetwork.masks[name].sum()) for name in names)
        assert all(sum(int(other.masks[name].sum()) for name in names) == wanted for other in drawn), block
    mean = sum(overlap(other, subnetwork) for other in drawn) / len(drawn)
    assert mean == pytest.approx(expected_overlap(subnetwork, subnetwork), rel=0.05)
    assert overlap(subnetwork, subnetwork) == subnetwork.kept


def test_what_does_not_fit_is_refused(tmp_path):
    model, untouched = build_hooked("gpt2")
    _, masks = hand_zeroed(untouched)
    name = "transformer.h.0.attn.c_attn.weight"
    with pytest.raises(ArtifactError, match="shape"):
        from_hugging_face(masks | {name: masks[name].T}, model.shape)
    with pytest.raises(ArtifactError, match="cover"):
        from_hugging_face({key: mask for key, mask in masks.items() if key != name}, model.shape)
    with pytest.raises(ArtifactError, match=r"ln_1"):
        from_hugging_face(masks | {"transformer.h.0.ln_1.weight": torch.zeros(24, dtype=torch.bool)}, model.shape)
    with pytest.raises(ModelError, match="no matrix"), model.with_products({"embed.W_E": lambda x, w, b: x}):
        pass
    wrong = Subnetwork({"blocks.0.mlp.W_in": torch.ones(3, 3, dtype=torch.bool)})
    with pytest.raises(ShapeError, match="mask"):
        wrong.weights(model)
