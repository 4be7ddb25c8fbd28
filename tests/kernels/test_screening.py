"""Candidates from bfloat16: what comes out must be what float32 throughout would give, or be reported."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from operand_cases import Encoder, encoders

from sparse_kernels import encode_topk, float32_only, reference
from sparse_kernels.cpu import encoder, rough


def _screen(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, k: int):
    index = torch.full((len(x), k), -1)
    value = torch.full((len(x), k), float("nan"))
    failed = encoder._screen(x, weight, bias, rough.lengths(weight), index, value)
    settled = torch.ones(len(x), dtype=torch.bool)
    settled[failed] = False
    return index, value, settled


@settings(max_examples=60, deadline=None)
@given(case=encoders())
def test_settled_rows_agree_with_a_whole_sort_ties_included(case: Encoder):
    x, weight, bias = (operand.float().contiguous() for operand in (case.x, case.weight, case.bias))
    if not len(x):
        return
    index, value, settled = _screen(x, weight, bias, case.k)
    wanted_index, wanted = reference.encode_topk(x, weight, bias, case.k)
    assert torch.equal(index[settled], wanted_index[settled])
    assert torch.equal(value[settled], wanted[settled])
    assert not settled[~x.isfinite().all(1)].any()


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1000),
    common=st.sampled_from([0.0, 1.0, 10.0]),
    scale=st.sampled_from([1e-20, 1.0, 1e12]),
    spread=st.sampled_from([0.0, 1.0]),
)
def test_no_feature_that_belongs_is_lost(seed: int, common: float, scale: float, spread: float):
    """Judged in float64: whatever is left out scores no more than the last one taken, to float32 rounding."""
    generator = torch.Generator().manual_seed(seed)
    x = (torch.randn(40, 96, generator=generator) + common * torch.randn(96, generator=generator)) * scale
    weight = torch.randn(1200, 96, generator=generator) * torch.exp(spread * torch.randn(1200, 1, generator=generator))
    bias = torch.randn(1200, generator=generator)
    index, _, settled = _screen(x, weight, bias, 16)
    scores = x.double() @ weight.double().T + bias.double()
    taken = torch.zeros_like(scores, dtype=torch.bool)
    taken[settled] = taken[settled].scatter(1, index[settled], True)
    last = scores.where(taken, torch.inf).amin(1)
    best_left_out = scores.where(~taken, -torch.inf).amax(1)
    slack = 1e-5 * scores.abs().amax(1)
    assert (best_left_out <= last + slack)[settled].all()
    if common == 0 and spread == 0:
        assert settled.float().mean() > 0.9, "the margin is too wide to be of use"


def test_the_bound_holds_and_is_not_far_off():
    generator = torch.Generator().manual_seed(0)
    x, weight = torch.randn(50, 64, generator=generator), torch.randn(300, 64, generator=generator)
    bias = torch.randn(300, generator=generator)
    exact = x.double() @ weight.double().T + bias.double()
    found = torch.cat([torch.from_numpy(t.copy()).view(torch.bfloat16) for _, t in rough.tiles(x, weight, bias)], 1)
    bounds = rough.rounding_bounds(x, rough.lengths(weight), float(bias.abs().max()))
    error = (found.double() - exact).abs() - found.double().abs() * 2.0**-7
    assert (error.numpy() <= bounds[:, None]).all()
    assert bounds.max() < 0.1 * float(exact.std()) * np.sqrt(64)


@pytest.mark.skipif(not rough.multiplies_bfloat16(), reason="this processor has no bfloat16 products")
@pytest.mark.parametrize("kind", ["settled", "mixed", "hopeless"])
def test_encode_is_the_same_with_and_without_screening(kind: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(encoder, "PROBE", 300)
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(-4, 5, (700, 24), generator=generator).float()
    weight = torch.randint(-4, 5, (1100, 24), generator=generator).float()
    bias = torch.zeros(1100)
    if kind == "mixed":
        x[::7] = float("nan")
    if kind == "hopeless":
        bias -= 200
    screened = encode_topk(x, weight, bias, 20, backend="cpu")
    monkeypatch.setattr(rough, "multiplies_bfloat16", lambda: False)
    whole = encode_topk(x, weight, bias, 20, backend="cpu")
    assert torch.equal(screened[0], whole[0])
    torch.testing.assert_close(screened[1], whole[1], rtol=0, atol=0, equal_nan=True)


def test_a_batch_that_cannot_be_screened_stops_trying(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rough, "multiplies_bfloat16", lambda: True)
    monkeypatch.setattr(encoder, "PROBE", 128)
    calls: list[int] = []
    original = encoder._screen

    def counted(x: torch.Tensor, *rest: object) -> torch.Tensor:
        calls.append(len(x))
        return original(x, *rest)

    monkeypatch.setattr(encoder, "_screen", counted)
    x, weight = torch.randn(600, 8), torch.randn(1024, 8)
    encode_topk(x, weight, torch.full((1024,), -1e3), 4, backend="cpu")
    assert calls == [encoder.PROBE]
    calls.clear()
    encode_topk(x, weight, None, 4, backend="cpu")
    assert calls == [encoder.PROBE, 600 - encoder.PROBE]


def test_inside_float32_only_nothing_is_screened(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rough, "multiplies_bfloat16", lambda: True)
    assert rough.screening_pays(4096, 4608, 32)
    with float32_only():
        assert not rough.screening_pays(4096, 4608, 32)
    assert rough.screening_pays(4096, 4608, 32)
