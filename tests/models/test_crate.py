"""CRATE's steps are what their formulas say."""

import pytest
import torch

from workbench.core import ConfigError
from workbench.models import CrateConfig, new_classifier

SMALL = CrateConfig(layers=2, width=8, heads=2, patches=5, values=3, classes=4)


def made(config=SMALL):
    patches = torch.rand(3, config.patches, config.values, generator=torch.Generator().manual_seed(0))
    return new_classifier(config, 0).eval(), patches


def test_attention_uses_one_projection_as_query_key_and_value():
    model, patches = made()
    block, x = model.blocks[0], model.embed(patches)
    z, attention = block.norm(x)[1], block.attention
    heads = []
    for u in attention.project.weight.split(4):
        inside = z @ u.T
        heads.append(torch.softmax(inside @ inside.T / 4**0.5, -1) @ inside)
    wanted = torch.cat(heads, -1) @ attention.out.weight.T + attention.out.bias
    torch.testing.assert_close(block.halves(x).between[1], x[1] + wanted)


def test_the_sparse_step_is_a_proximal_gradient_step():
    model, patches = made()
    block = model.blocks[0]
    halves = block.halves(model.embed(patches))
    z = block.second_norm(halves.between).detach()
    code = z.clone().requires_grad_()
    error = 0.5 * (z - code @ block.sparse.dictionary.T).square().sum()
    (gradient,) = torch.autograd.grad(error, code)
    torch.testing.assert_close(halves.after, (z - 0.1 * gradient - 0.1 * 0.1).clamp_min(0))
    assert 0 < (halves.after == 0).float().mean() < 1


def test_the_halves_end_where_the_forward_pass_does_and_every_weight_learns():
    model, patches = made()
    last = model.halves(patches)[-1][1].after
    torch.testing.assert_close(model(patches), model.answer(model.norm(last[:, 0])))
    model.loss((patches, torch.tensor([0, 1, 2])), 0.0)["loss"].backward()
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in model.parameters())


def test_equal_seeds_and_a_plain_model_of_as_many_weights():
    (one, _), (other, _) = made(), made()
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    crate, plain = (
        sum(weight.numel() for weight in new_classifier(config, 0).parameters())
        for config in (CrateConfig(), CrateConfig(blocks="plain", layers=3))
    )
    assert crate == pytest.approx(plain, rel=0.01)
    with pytest.raises(ConfigError, match="do not divide"):
        CrateConfig.parse({"width": 10, "heads": 4}, "test")
