"""Every gate against its paper's formula written out, and the gradients that have no autograd to check them."""

import pytest
import torch
from torch import Tensor

from workbench.core import ConfigError, Site, get
from workbench.dictionaries import FAMILIES, Gate, MatryoshkaConfig, make_dictionary
from workbench.dictionaries.jumprelu import jump
from workbench.dictionaries.objective import Objective

N, D, F = 40, 6, 24
SITE = Site("resid_post", 0)


@pytest.fixture
def draw() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture
def tensors(draw) -> dict[str, Tensor]:
    shapes = {"x": (N, D), "W_enc": (F, D), "b_enc": (F,), "W_dec": (F, D), "b_dec": (D,)}
    return {name: torch.randn(shape, generator=draw, dtype=torch.float64) for name, shape in shapes.items()}


def gate(name: str, **config) -> Gate:
    return get("gate", name)(FAMILIES[f"{name}-sae"].parse({"d_sae": F, **config})).double()


def learn(made: Gate, tensors: dict[str, Tensor], sparsity: float = 1.0):
    objective = Objective.of(tensors["x"], tensors["b_dec"], tensors["W_dec"], sparsity)
    return made.learn(tensors["x"], tensors["W_enc"], tensors["b_enc"], objective)


def dense(active) -> Tensor:
    return active if isinstance(active, Tensor) else active.dense()


def scaled(tensors) -> float:
    """The target's standard deviation as a row: the unit of the L1 penalties."""
    deviation = tensors["x"] - tensors["x"].mean(0)
    return float(deviation.square().sum(1).mean().sqrt())


def test_relu_penalises_activation_times_decoder_norm(tensors):
    active, terms = learn(gate("relu", l1=0.3), tensors, sparsity=0.5)
    wanted = (tensors["x"] @ tensors["W_enc"].T + tensors["b_enc"]).relu()
    torch.testing.assert_close(dense(active), wanted)
    penalty = (wanted * tensors["W_dec"].norm(dim=1)).sum(1).mean() / scaled(tensors)
    torch.testing.assert_close(terms["sparsity"], 0.5 * 0.3 * penalty)


def test_batchtopk_keeps_the_largest_of_the_batch(tensors):
    made = gate("batchtopk", k=3, threshold_rate=0.25)
    active, terms = learn(made, tensors)
    pre = (tensors["x"] @ tensors["W_enc"].T + tensors["b_enc"]).relu()
    cut = pre.flatten().sort(descending=True).values[N * 3 - 1]
    torch.testing.assert_close(dense(active), torch.where(pre >= cut, pre, 0.0))
    assert not terms
    assert float(made.threshold) == pytest.approx(0.25 * float(cut))
    made.calibrate_(tensors["x"], tensors["W_enc"], tensors["b_enc"])
    assert float(made.threshold) == pytest.approx(float(cut))
    wanted = torch.where(pre > made.threshold, pre, 0.0)
    torch.testing.assert_close(made(tensors["x"], tensors["W_enc"], tensors["b_enc"]).dense(), wanted)


def test_matryoshka_adds_the_error_of_every_prefix(tensors):
    made = gate("matryoshka", k=3, prefixes=(0.25, 0.5))
    active, terms = learn(made, tensors)
    total = (tensors["x"] - tensors["x"].mean(0)).square().sum()
    wanted = 0.0
    for end in (6, 12):
        out = dense(active)[:, :end] @ tensors["W_dec"][:end] + tensors["b_dec"]
        wanted += (out - tensors["x"]).square().sum() / total
    torch.testing.assert_close(terms["prefixes"], wanted)
    with pytest.raises(ConfigError, match="growing shares"):
        MatryoshkaConfig.parse({"prefixes": [0.5, 0.25]})


def test_gated_paths_and_their_losses(tensors, draw):
    made = gate("gated", l1=0.2)
    with torch.no_grad():
        made.r_mag.copy_(0.3 * torch.randn(F, generator=draw))
        made.b_mag.copy_(torch.randn(F, generator=draw))
    active, terms = learn(made, tensors)
    shared = tensors["x"] @ tensors["W_enc"].T
    opening = shared + tensors["b_enc"]
    wanted = (opening > 0) * (shared * made.r_mag.exp() + made.b_mag).relu()
    torch.testing.assert_close(dense(active), wanted)
    torch.testing.assert_close(made(tensors["x"], tensors["W_enc"], tensors["b_enc"]).dense(), wanted)
    total = (tensors["x"] - tensors["x"].mean(0)).square().sum()
    frozen = (opening.relu() @ tensors["W_dec"] + tensors["b_dec"] - tensors["x"]).square().sum() / total
    torch.testing.assert_close(terms["gate"], frozen)
    penalty = (opening.relu() * tensors["W_dec"].norm(dim=1)).sum(1).mean() / scaled(tensors)
    torch.testing.assert_close(terms["sparsity"], 0.2 * penalty)


def test_the_frozen_decoder_learns_nothing_from_the_gate(tensors):
    made = gate("gated")
    tensors["W_dec"].requires_grad_()
    _, terms = learn(made, tensors)
    assert not terms["gate"].requires_grad
    tensors["W_enc"].requires_grad_()
    _, terms = learn(made, tensors)
    found = torch.autograd.grad(
        terms["gate"] + terms["sparsity"], [tensors["W_enc"], tensors["W_dec"]], allow_unused=True
    )
    assert found[0].abs().sum() > 0
    assert found[1] is None


def test_jumprelu_and_its_pseudo_derivatives(draw):
    """Equations 9 to 12 of the paper: a rectangle around the threshold carries the threshold's gradient."""
    z = torch.randn(N, F, generator=draw, dtype=torch.float64, requires_grad=True)
    log_threshold = (0.2 * torch.randn(F, generator=draw, dtype=torch.float64) - 0.5).requires_grad_()
    eps, weight, lam = 0.3, torch.randn(N, F, generator=draw, dtype=torch.float64), 0.7
    acts, counts = jump(z, log_threshold, eps)
    theta = log_threshold.exp()
    above = z > theta
    torch.testing.assert_close(acts, z * above)
    torch.testing.assert_close(counts, above.sum(1).double())
    ((acts * weight).sum() + lam * counts.sum()).backward()
    torch.testing.assert_close(z.grad, weight * above)
    kernel = ((z - theta) / eps).abs() < 0.5
    to_theta = (-(theta / eps) * kernel * weight - lam / eps * kernel).sum(0)
    torch.testing.assert_close(log_threshold.grad, (to_theta * theta).detach())
    assert kernel.any()


@pytest.mark.parametrize(("k", "share", "wanted"), [(4, 1.0, 4), (4, 0.0, 12), (4, 0.5, 8), (None, 0.5, None)])
def test_jumprelu_aims_at_an_l0(tensors, k, share, wanted):
    active, terms = learn(gate("jumprelu", k=k, l0=2.0, threshold=0.5, k_start=3.0), tensors, share)
    l0 = (dense(active) != 0).sum(1).double().mean()
    penalty = 2.0 * (l0 / wanted - 1) ** 2 if wanted else share * 2.0 * l0
    torch.testing.assert_close(terms["sparsity"], penalty)


def test_jumprelu_starts_where_the_rows_have_its_l0(tensors):
    made = gate("jumprelu", k=3)
    made.calibrate_(tensors["x"], tensors["W_enc"], tensors["b_enc"])
    codes = made(tensors["x"], tensors["W_enc"], tensors["b_enc"])
    assert float(codes.l0().double().mean()) == pytest.approx(3, abs=2 / N)


@pytest.mark.parametrize("name", ["topk", "batchtopk"])
def test_k_falls_during_the_warm_up(tensors, name):
    made = gate(name, k=2, k_start=3.0)
    for share, wanted in ((0.0, 6), (0.5, 4), (1.0, 2)):
        active, _ = learn(made, tensors, share)
        assert float((dense(active) != 0).sum(1).double().mean()) == pytest.approx(wanted, abs=0.3)


@pytest.mark.parametrize("family", [family for family in FAMILIES if family.endswith("-sae")])
def test_a_broken_row_breaks_the_loss(family):
    small = {"d_sae": F, "k": 3}
    config = FAMILIES[family].parse({key: small[key] for key in small if key in FAMILIES[family].model_fields})
    made = make_dictionary(family, config, {SITE: D}, {SITE: D})
    rows = torch.randn(N, D, generator=torch.Generator().manual_seed(1))
    made.initialise({SITE: rows}, 0)
    rows[3] = float("nan")
    assert not torch.isfinite(made.loss({SITE: rows})["loss"])
