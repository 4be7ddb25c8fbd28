"""Packed weights against torch.nn.functional.linear: values, activations, gradients of every order."""

import pytest
import torch
from hypothesis import given, strategies as st
from torch.nn import functional

from sparse_kernels import KernelError, PackedWeight, can_pack, packing_pays

ACTIVATIONS = {
    "none": lambda x: x,
    "silu": functional.silu,
    "gelu": functional.gelu,
    "gelu_tanh": lambda x: functional.gelu(x, approximate="tanh"),
}
DTYPES = [dtype for dtype in (torch.float32, torch.bfloat16) if can_pack(dtype)]
pytestmark = pytest.mark.skipif(not DTYPES, reason="this build of PyTorch has no oneDNN")


def draw(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


@given(st.integers(1, 70), st.integers(1, 40), st.integers(1, 50), st.booleans(), st.sampled_from(DTYPES))
def test_equals_linear(rows, width, outputs, has_bias, dtype):
    x, weight = draw(rows, width, dtype=dtype), draw(outputs, width, seed=1, dtype=dtype)
    bias = draw(outputs, seed=2, dtype=dtype) if has_bias else None
    packed, factor = PackedWeight(weight), draw(rows, outputs, seed=3, dtype=dtype)
    wide = functional.linear(x.double(), weight.double(), None if bias is None else bias.double())
    tolerance = 1e-5 if dtype == torch.float32 else 2e-2

    def close(found, wanted):
        assert found.dtype == dtype
        assert (found.double() - wanted).abs().max() <= tolerance * (1 + wanted.abs().max())

    close(packed(x, bias), wide)
    close(packed.times(x, bias, factor), wide * factor.double())
    for name, function in ACTIVATIONS.items():
        close(packed.activated(x, bias, name), function(wide))


def test_gradients_of_every_order():
    x, weight, bias = draw(3, 5, 24).requires_grad_(), draw(40, 24, seed=1), draw(40, seed=2)
    packed, upstream = PackedWeight(weight), draw(3, 5, 40, seed=3)
    for grads in (packed(x, bias), functional.linear(x, weight, bias)):
        assert grads.shape == (3, 5, 40)
    (found,) = torch.autograd.grad(packed(x, bias).sin().sum(), x, create_graph=True)
    (wanted,) = torch.autograd.grad(functional.linear(x, weight, bias).sin().sum(), x, create_graph=True)
    assert torch.allclose(found, wanted, atol=1e-4)
    (found,) = torch.autograd.grad((found * draw(3, 5, 24, seed=4)).sum(), x)
    (wanted,) = torch.autograd.grad((wanted * draw(3, 5, 24, seed=4)).sum(), x)
    assert torch.allclose(found, wanted, rtol=1e-3, atol=1e-2)
    (found,) = torch.autograd.grad(packed(x, bias), x, upstream)
    assert torch.allclose(found, upstream @ weight, atol=1e-5)


def test_takes_as_much_memory_as_the_weight_and_refuses_what_is_no_matrix():
    assert PackedWeight(draw(40, 24)).nbytes == 40 * 24 * 4
    with pytest.raises(KernelError, match="weight: wanted one row for each output"):
        PackedWeight(draw(4))


def test_same_bits_twice():
    x, packed = draw(300, 64), PackedWeight(draw(80, 64, seed=1))
    assert torch.equal(packed(x), packed(x))


def test_only_measured_dtypes_are_worth_packing():
    assert not packing_pays(torch.float64)
    assert not packing_pays(torch.float16)
    assert not packing_pays(torch.float32) or can_pack(torch.float32)
