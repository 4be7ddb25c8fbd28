"""Operands drawn by hypothesis for the kernels' property tests, and the tolerance of each dtype."""

from dataclasses import dataclass

import torch
from hypothesis import strategies as st
from torch import Tensor

TOLERANCE = {
    torch.float64: {"rtol": 1e-10, "atol": 1e-10},
    torch.float32: {"rtol": 2e-5, "atol": 2e-5},
    torch.bfloat16: {"rtol": 2e-2, "atol": 2e-2},
    torch.float16: {"rtol": 2e-3, "atol": 2e-3},
}


@dataclass(frozen=True)
class Encoder:
    x: Tensor
    weight: Tensor
    bias: Tensor
    k: int


@st.composite
def encoders(draw: st.DrawFn, largest: int = 1100) -> Encoder:
    """Encoders of odd shapes. Small whole numbers, so that every product is exact and ties are many."""
    n = draw(st.integers(0, 9))
    d = draw(st.sampled_from([1, 2, 7, 16]))
    f = draw(st.one_of(st.integers(1, 70), st.sampled_from([63, 64, 65, 511, 512, 513, largest])))
    k = draw(st.one_of(st.just(1), st.just(f), st.integers(1, f)))
    dtype = draw(st.sampled_from([torch.float32, torch.float32, torch.bfloat16, torch.float16]))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))

    def whole(*shape: int) -> Tensor:
        return torch.randint(-2, 3, shape, generator=generator).to(dtype)

    x, weight, bias = whole(n, d), whole(f, d), whole(f)
    if draw(st.booleans()):
        x = whole(d, n).T
    if draw(st.booleans()):
        weight = whole(f, 2 * d)[:, ::2]
    if draw(st.booleans()) and n:
        x = x.clone()
        x[draw(st.integers(0, n - 1)), 0] = draw(st.sampled_from([float("nan"), float("inf"), -float("inf")]))
    return Encoder(x, weight, bias, k)
