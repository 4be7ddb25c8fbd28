"""gather_mlp, topk_mlp and nearest_code by Triton against the references; see `agreement.py`."""

import pytest
import torch

from sparse_kernels import gather_mlp, nearest_code, topk_mlp

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SHAPES = [(1, 5, 9, 4, 3), (2, 270, 40, 17, 20), (3, 1, 200, 2, 150)]


def _operands(n: int, d: int, m: int, e: int, dtype: torch.dtype, gated: bool, biased: bool) -> tuple:
    generator = torch.Generator().manual_seed(n * m)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator).to(DEVICE, dtype)

    weights = {"w_gate": normal(m, d)} if gated else {}
    if biased:
        weights |= {"b_in": normal(m), "b_out": normal(e)} | ({"b_gate": normal(m)} if gated else {})
    return normal(n, d), normal(m, d) / d**0.5, normal(m, e) / m**0.5, weights


def _close(found: torch.Tensor, wanted: torch.Tensor) -> None:
    assert found.dtype == wanted.dtype
    tolerance = 1e-4 if found.dtype == torch.float32 else 2e-2
    torch.testing.assert_close(found.float(), wanted.float(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("n", "d", "m", "e", "j"), SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    ("gated", "biased", "activation"),
    [(True, False, "silu"), (False, True, "gelu_tanh"), (True, True, "relu"), (False, False, "gelu")],
)
def test_chosen_neurons(n, d, m, e, j, dtype, gated, biased, activation):
    x, w_in, w_out, more = _operands(n, d, m, e, dtype, gated, biased)
    generator = torch.Generator().manual_seed(0)
    shared = torch.randint(0, m, (j,), generator=generator).to(DEVICE)
    own = torch.randint(0, m, (n, j), generator=generator, dtype=torch.int32).to(DEVICE)
    for index in (shared, own, None):
        found, wanted = (
            gather_mlp(x, w_in, w_out, index, activation=activation, backend=backend, **more)
            for backend in ("triton", "reference")
        )
        _close(found, wanted)


@pytest.mark.parametrize(("n", "d", "m", "e", "k"), SHAPES)
@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_neurons_chosen_for_each_row(n, d, m, e, k, gated, dtype):
    x, w_in, w_out, more = _operands(n, d, m, e, dtype, gated, biased=True)
    out, index = topk_mlp(x, w_in, w_out, k, backend="triton", **more)
    wanted, wanted_index = topk_mlp(x, w_in, w_out, k, backend="reference", **more)
    assert torch.equal(index, wanted_index)
    _close(out, wanted)


@pytest.mark.parametrize("metric", ["dot", "cosine", "euclidean"])
def test_nearest_codes(metric):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 2, 7, generator=generator).to(DEVICE)
    codebook = torch.randn(2, 50, 7, generator=generator).to(DEVICE)
    index, nearness = nearest_code(x, codebook, 4, metric=metric, backend="triton")
    wanted_index, wanted = nearest_code(x, codebook, 4, metric=metric, backend="reference")
    assert torch.equal(index, wanted_index)
    _close(nearness, wanted)
