"""Soft masks and their gradients: the native path against autograd in float64, in every order of memory."""

import pytest
import torch
from hypothesis import example, given, settings, strategies as st

from sparse_kernels import KernelError, soft_mask_gradient, soft_masked

ERROR = {torch.float32: 3e-6, torch.bfloat16: 2**-7}


@settings(max_examples=20)
@given(
    st.integers(0, 40),
    st.integers(1, 70),
    st.sampled_from([torch.float32, torch.bfloat16]),
    st.booleans(),
    st.sampled_from([1.0, 7.5, 200.0]),
    st.integers(0, 99),
)
@example(700, 500, torch.bfloat16, True, 200.0, 0)
def test_both_paths_are_what_autograd_says(n, f, dtype, turned, temperature, seed):
    draw = torch.Generator().manual_seed(seed)
    shape = (f, n) if turned else (n, f)
    weight, gradient = torch.randn(shape, generator=draw).to(dtype), torch.randn(shape, generator=draw).to(dtype)
    logits = torch.randn(shape, generator=draw) / temperature**0.5
    if turned:
        weight, gradient, logits = weight.T, gradient.T, logits.T
    exact = logits.double().requires_grad_()
    soft = torch.sigmoid(temperature * exact)
    product = weight.double() * soft
    (wanted,) = torch.autograd.grad([product, 0.3 * soft.sum()], exact, [gradient.double(), torch.tensor(1.0).double()])
    for backend in ("auto", "reference", "cpu"):
        found = soft_masked(weight, logits, temperature, backend=backend)
        assert found.dtype == dtype
        assert found.stride() == weight.stride()
        assert torch.allclose(found.double(), product, rtol=ERROR[dtype], atol=1e-30)
        slope = soft_mask_gradient(gradient, weight, logits, temperature, 0.3, backend=backend)
        assert slope.dtype == torch.float32
        assert torch.allclose(slope.double(), wanted, rtol=1e-4, atol=1e-5 * temperature)


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_settled_mask_keeps_a_weight_whole_or_not_at_all(backend, dtype):
    weight = torch.randn(3, 5, generator=torch.Generator().manual_seed(0)).to(dtype)
    logits = torch.tensor([[1.0], [-1.0], [0.0]]).expand(3, 5).contiguous()
    found = soft_masked(weight, logits, 1e4, backend=backend)
    assert torch.equal(found[0], weight[0])
    assert found[1].abs().max() < 1e-37
    assert torch.equal(found[2], weight[2] / 2)
    slope = soft_mask_gradient(torch.ones_like(weight), weight, logits, 1e4, 1.0, backend=backend)
    assert slope[:2].abs().max() < 1e-30


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_logits_that_are_no_number_stay_so(backend):
    weight, logits = torch.ones(2, 3), torch.tensor([[float("nan"), float("inf"), float("-inf")]]).repeat(2, 1)
    found = soft_masked(weight, logits, 2.0, backend=backend)
    assert found[:, 0].isnan().all()
    assert (found[:, 1] == 1).all()
    assert (found[:, 2].abs() < 1e-37).all()


def test_operands_that_do_not_fit():
    weight = torch.ones(2, 3)
    with pytest.raises(KernelError, match="logits: wanted float32"):
        soft_masked(weight, torch.ones(3, 2), 1.0)
    with pytest.raises(KernelError, match="logits: wanted float32"):
        soft_masked(weight, torch.ones(2, 3, dtype=torch.float64), 1.0)
    with pytest.raises(KernelError, match="gradient: wanted the shape"):
        soft_mask_gradient(torch.ones(3, 2), weight, torch.ones(2, 3), 1.0)
