"""The Triton kernels against the references, under Triton's interpreter (or on a GPU where there is one).

The interpreter is chosen when triton is first imported, so `test_triton.py` runs this file in a process of its own.
"""

import pytest
import torch

from sparse_kernels import decode, encode_topk
from sparse_kernels.gpu import launch

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def _whole(generator: torch.Generator, *shape: int) -> torch.Tensor:
    return torch.randint(-2, 3, shape, generator=generator).float().to(DEVICE)


@pytest.mark.parametrize(
    ("n", "d", "f", "k"), [(1, 1, 1, 1), (3, 5, 7, 2), (1, 17, 1030, 5), (2, 4, 40, 40), (3, 3, 9, 1), (1, 7, 1100, 33)]
)
@pytest.mark.parametrize("relu", [True, False])
def test_encode_takes_the_same_features_in_the_same_order(n: int, d: int, f: int, k: int, relu: bool):
    generator = torch.Generator().manual_seed(n * f)
    x, weight, bias = _whole(generator, n, d), _whole(generator, f, d), _whole(generator, f)
    index, value = encode_topk(x, weight, bias, k, relu=relu, backend="triton")
    wanted_index, wanted = encode_topk(x, weight, bias, k, relu=relu, backend="reference")
    assert torch.equal(index, wanted_index)
    assert torch.equal(value, wanted)


def test_several_tiles_of_features_are_merged(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(launch, "score_width", lambda rows, features: min(features, 13))
    generator = torch.Generator().manual_seed(0)
    x, weight = _whole(generator, 3, 4), _whole(generator, 57, 4)
    index, value = encode_topk(x, weight, None, 6, backend="triton")
    wanted_index, wanted = encode_topk(x, weight, None, 6, backend="reference")
    assert torch.equal(index, wanted_index)
    assert torch.equal(value, wanted)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("relu", [True, False])
def test_rows_that_are_not_finite(bad: float, relu: bool):
    x = torch.tensor([[1.0, 1.0], [bad, 1.0]], device=DEVICE)
    weight = torch.tensor([[1.0, 1.0], [2.0, 3.0], [-2.0, 1.0], [-1.0, -1.0]], device=DEVICE)
    index, value = encode_topk(x, weight, None, 3, relu=relu, backend="triton")
    wanted_index, wanted = encode_topk(x, weight, None, 3, relu=relu, backend="reference")
    assert torch.equal(index, wanted_index)
    torch.testing.assert_close(value, wanted, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("n", "d", "f", "k"), [(5, 19, 30, 3), (2, 270, 20, 17), (9, 1, 3, 3)])
def test_a_step_has_the_gradients_of_the_reference(n: int, d: int, f: int, k: int, dtype: torch.dtype):
    def run(backend: str) -> list[torch.Tensor]:
        generator = torch.Generator().manual_seed(5)
        shapes = ((n, d), (f, d), (f,), (f, d))
        leaves = [torch.randn(*s, generator=generator).to(DEVICE, dtype).requires_grad_() for s in shapes]
        x, encoder, bias, decoder = leaves
        index, value = encode_topk(x, encoder, bias, k, backend=backend)
        out = decode(index, value, decoder, backend=backend)
        out.float().square().mean().backward()
        return [value.detach(), out.detach(), *(leaf.grad for leaf in leaves)]

    tolerance = 1e-5 if dtype == torch.float32 else 2e-2
    for found, wanted in zip(run("triton"), run("reference"), strict=True):
        assert found.dtype == dtype
        scale = max(1.0, float(wanted.float().abs().max()))
        torch.testing.assert_close(found.float() / scale, wanted.float() / scale, rtol=0, atol=tolerance)


def test_more_codes_than_the_kernel_holds_go_to_the_reference():
    generator = torch.Generator().manual_seed(0)
    x, weight = _whole(generator, 2, 3), _whole(generator, launch.LARGEST_K + 50, 3)
    index, _ = encode_topk(x, weight, None, launch.LARGEST_K + 1, backend="triton")
    wanted, _ = encode_topk(x, weight, None, launch.LARGEST_K + 1, backend="reference")
    assert torch.equal(index, wanted)


def test_two_runs_are_bit_identical():
    def run() -> torch.Tensor:
        generator = torch.Generator().manual_seed(0)
        index = torch.randint(0, 6, (8, 5), generator=generator).to(DEVICE)
        value = torch.randn(8, 5, generator=generator).to(DEVICE)
        weight = torch.randn(6, 20, generator=generator).to(DEVICE).requires_grad_()
        decode(index, value, weight, backend="triton").square().sum().backward()
        return weight.grad

    assert torch.equal(run(), run())
