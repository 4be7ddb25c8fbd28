"""AuxK against its formula; a decoder of unit norm."""

import pytest
import torch
from torch import Tensor

from sparse_kernels import gradient_rows, sparse_gradients
from workbench.core import Site
from workbench.dictionaries import CoderConfig, make_dictionary
from workbench.dictionaries.auxiliary import auxiliary_loss

SITE = Site("resid_post", 0)


def coder(config: CoderConfig, d: int = 6, dtype: torch.dtype = torch.float64):
    made = make_dictionary("topk-sae", config, {SITE: d}, {SITE: d})
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=draw))
    return made.to(dtype)


def rows(n: int = 50, d: int = 6, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(1), dtype=dtype)


@pytest.mark.parametrize(("dead", "k"), [(5, 3), (5, 5), (5, 9), (40, 2)])
def test_the_loss_is_the_paper_s(dead: int, k: int):
    draw = torch.Generator().manual_seed(2)
    x, encoder = rows(), torch.randn(dead, 6, generator=draw, dtype=torch.float64)
    bias = torch.randn(dead, generator=draw, dtype=torch.float64)
    decoder, residual = torch.randn(dead, 6, generator=draw, dtype=torch.float64), rows(50) * 3
    acts = (x @ encoder.T + bias).relu()
    codes = torch.zeros_like(acts)
    for row in range(50):
        top = acts[row].argsort(descending=True)[:k]
        codes[row, top] = acts[row, top]
    wanted = (-residual - codes @ decoder).square().sum()
    torch.testing.assert_close(auxiliary_loss(x, encoder, bias, decoder, residual, k), wanted)


@pytest.mark.parametrize("sparse", [True, False])
@pytest.mark.parametrize(("dead", "k"), [(40, 3), (9, 9)])
def test_only_the_dead_learn_from_it(dead: int, k: int, sparse: bool):
    """The gradients with AuxK are those without it, plus the weighted gradient of its own loss at the dead rows."""
    sizes = {"d_sae": 700, "k": 4, "dead_after_rows": 10}
    with_it = coder(CoderConfig(**sizes, aux_k=k, aux_weight=0.5), dtype=torch.float32)
    without = coder(CoderConfig(**sizes), dtype=torch.float32)
    x = rows(dtype=torch.float32)
    with_it.rows_since_fired[100 : 100 + dead] = 10

    def gradients(made) -> dict[str, Tensor]:
        with sparse_gradients(sparse):
            losses = made.loss({SITE: x})
        losses["loss"].backward()
        assert ("loss_aux" in losses) == (made is with_it)
        return {name: parameter.grad.to_dense() for name, parameter in made.named_parameters()}

    found, plain = gradients(with_it), gradients(without)
    chosen = slice(100, 100 + dead)
    parts = [getattr(without, name).detach()[chosen].requires_grad_() for name in ("W_enc", "b_enc", "W_dec")]
    with torch.no_grad():
        residual = without({SITE: x})[SITE] - x
    total = (x - x.mean(0)).square().sum()
    (0.5 * auxiliary_loss(x, *parts, residual, k) / total).backward()
    torch.testing.assert_close(found["b_dec"], plain["b_dec"], rtol=1e-4, atol=1e-5)
    for name, part in zip(("W_enc", "b_enc", "W_dec"), parts, strict=True):
        plain[name][chosen] += part.grad
        torch.testing.assert_close(found[name], plain[name], rtol=1e-4, atol=1e-4)
        assert part.grad.any()


def test_nothing_is_added_while_no_feature_is_dead():
    x = rows()
    plain, aux = coder(CoderConfig(d_sae=20, k=4)), coder(CoderConfig(d_sae=20, k=4, aux_k=3))
    assert aux.loss({SITE: x})["loss"] == plain.loss({SITE: x})["loss"]


def test_dead_features_come_alive():
    """Features that point away from all data fire again with AuxK, and never without."""
    x = rows(400, dtype=torch.float32) + 5

    def fired(aux_k: int) -> int:
        made = coder(CoderConfig(d_sae=300, k=4, aux_k=aux_k, aux_weight=1.0, dead_after_rows=800), dtype=torch.float32)
        with torch.no_grad():
            made.b_enc.fill_(0.0)
            made.b_enc[:200] = -30.0
            made.b_dec.copy_(x.mean(0))
        adam = torch.optim.Adam(made.parameters(), lr=0.05)
        for _ in range(60):
            adam.zero_grad()
            made.loss({SITE: x})["loss"].backward()
            adam.step()
        return int((made.rows_since_fired[:200] < 800).sum())

    assert fired(0) == 0
    assert fired(64) > 0


def test_a_decoder_of_unit_norm_starts_with_the_same_function():
    x = rows(200)
    free, held = (
        make_dictionary("topk-sae", CoderConfig(d_sae=30, k=30, unit_norm_decoder=unit), {SITE: 6}, {SITE: 6}).double()
        for unit in (False, True)
    )
    for made in (free, held):
        made.initialise({SITE: x}, 0)
    torch.testing.assert_close(held.W_dec.norm(dim=1), torch.ones(30, dtype=torch.float64))
    torch.testing.assert_close(held({SITE: x})[SITE], free({SITE: x})[SITE])


@pytest.mark.parametrize("sparse", [True, False])
def test_steps_keep_the_norm_and_the_gradient_has_no_part_along_the_rows(sparse: bool):
    made = coder(CoderConfig(d_sae=600, k=4, unit_norm_decoder=True), dtype=torch.float32)
    made.after_step()
    with sparse_gradients(sparse):
        losses = made.loss({SITE: rows(dtype=torch.float32)})
    losses["loss"].backward()
    made.after_backward()
    assert made.W_dec.grad.is_sparse == sparse
    chosen, values = gradient_rows(made.W_dec.grad) if sparse else (slice(None), made.W_dec.grad)
    assert values.any()
    along = (values * made.W_dec.detach()[chosen]).sum(1)
    torch.testing.assert_close(along, torch.zeros_like(along), atol=1e-6, rtol=0)
    with torch.no_grad():
        made.W_dec.add_(1.0)
    made.after_step()
    torch.testing.assert_close(made.W_dec.norm(dim=1), torch.ones(600))


def test_a_free_decoder_is_left_alone():
    made = coder(CoderConfig(d_sae=20, k=4))
    made.loss({SITE: rows()})["loss"].backward()
    before, gradient = made.W_dec.detach().clone(), made.W_dec.grad.clone()
    made.after_backward()
    made.after_step()
    assert torch.equal(made.W_dec, before)
    assert torch.equal(made.W_dec.grad, gradient)
