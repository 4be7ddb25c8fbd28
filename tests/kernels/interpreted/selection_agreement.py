"""The ragged selections' Triton kernels against the references, under the interpreter as in `agreement.py`."""

import pytest
import torch

from sparse_kernels import decode, encode_batch_topk, encode_threshold, encode_topk
from sparse_kernels.gpu import launch

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def _whole(generator: torch.Generator, *shape: int) -> torch.Tensor:
    return torch.randint(-2, 3, shape, generator=generator).float().to(DEVICE)


def _same(found: tuple[torch.Tensor, ...], wanted: tuple[torch.Tensor, ...]) -> None:
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize(
    ("n", "d", "f", "k", "tile"),
    [(1, 1, 1, 1, None), (3, 5, 7, 2, 2), (2, 17, 1030, 5, None), (2, 4, 40, 40, 11), (3, 3, 9, 1, 4)],
)
def test_batch_topk_takes_the_same_entries(n: int, d: int, f: int, k: int, tile: int | None, monkeypatch):
    if tile is not None:
        monkeypatch.setattr(launch, "score_width", lambda rows, features: min(features, tile))
    generator = torch.Generator().manual_seed(n * f)
    operands = _whole(generator, n, d), _whole(generator, f, d), _whole(generator, f), k
    _same(encode_batch_topk(*operands, backend="triton"), encode_batch_topk(*operands, backend="reference"))


@pytest.mark.parametrize(("n", "d", "f"), [(1, 1, 1), (3, 5, 7), (2, 17, 1030)])
@pytest.mark.parametrize("positive", [True, False])
def test_threshold_takes_the_same_entries(n: int, d: int, f: int, positive: bool):
    generator = torch.Generator().manual_seed(n * f)
    operands = _whole(generator, n, d), _whole(generator, f, d), _whole(generator, f)
    for threshold in (0.0, -1.5, _whole(generator, f), 1e9):
        found = encode_threshold(*operands, threshold, positive=positive, backend="triton")
        _same(found, encode_threshold(*operands, threshold, positive=positive, backend="reference"))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_rows_that_are_not_finite(bad: float):
    x = torch.tensor([[1.0, 1.0], [bad, 1.0], [2.0, 1.0]], device=DEVICE)
    weight = torch.tensor([[1.0, 1.0], [2.0, 3.0], [-2.0, 1.0], [-1.0, -1.0]], device=DEVICE)
    for k in (1, 2, 3, 4):
        found = encode_batch_topk(x, weight, None, k, backend="triton")
        _same(found, encode_batch_topk(x, weight, None, k, backend="reference"))
    found = encode_threshold(x, weight, None, 1.5, backend="triton")
    _same(found, encode_threshold(x, weight, None, 1.5, backend="reference"))


def test_more_nan_than_places(monkeypatch):
    monkeypatch.setattr(launch, "score_width", lambda rows, features: 2)
    x = torch.full((3, 2), float("nan"), device=DEVICE)
    weight = torch.ones(7, 2, device=DEVICE)
    found = encode_batch_topk(x, weight, None, 2, backend="triton")
    _same(found, encode_batch_topk(x, weight, None, 2, backend="reference"))


@pytest.mark.parametrize(
    ("n", "d", "f", "groups", "k", "relu", "tile"),
    [
        (3, 5, 12, 3, 2, True, None),
        (2, 3, 24, 24, 1, False, None),
        (2, 3, 24, 6, 1, True, 13),
        (1, 4, 44, 2, 5, False, 13),
    ],
)
def test_groups_take_the_same_features(
    n: int, d: int, f: int, groups: int, k: int, relu: bool, tile: int | None, monkeypatch
):
    if tile is not None:
        monkeypatch.setattr(launch, "score_width", lambda rows, features: min(features, tile))
    generator = torch.Generator().manual_seed(n * f)
    operands = _whole(generator, n, d), _whole(generator, f, d), _whole(generator, f), k
    found = encode_topk(*operands, relu=relu, groups=groups, backend="triton")
    _same(found, encode_topk(*operands, relu=relu, groups=groups, backend="reference"))


@pytest.mark.parametrize(
    ("gate", "dtype"),
    [("batch", torch.float32), ("batch", torch.bfloat16), ("threshold", torch.float16), ("nothing", torch.float32)],
)
def test_a_ragged_step_has_the_gradients_of_the_reference(gate: str, dtype: torch.dtype):
    def run(backend: str) -> list[torch.Tensor]:
        generator = torch.Generator().manual_seed(5)
        shapes = ((7, 19), (30, 19), (30,), (30, 19))
        leaves = [torch.randn(*s, generator=generator).to(DEVICE, dtype).requires_grad_() for s in shapes]
        x, encoder, bias, decoder = leaves
        if gate == "batch":
            index, value, offsets = encode_batch_topk(x, encoder, bias, 3, backend=backend)
        else:
            threshold = 2.0 if gate == "threshold" else 1e9
            index, value, offsets = encode_threshold(x, encoder, bias, threshold, backend=backend)
        out = decode(index, value, decoder, offsets, backend=backend)
        out.float().square().mean().backward()
        return [value.detach(), out.detach(), *(leaf.grad for leaf in leaves)]

    tolerance = 1e-5 if dtype == torch.float32 else 2e-2
    for found, wanted in zip(run("triton"), run("reference"), strict=True):
        assert found.dtype == dtype
        scale = max(1.0, float(wanted.float().abs().max())) if wanted.numel() else 1.0
        torch.testing.assert_close(found.float() / scale, wanted.float() / scale, rtol=0, atol=tolerance)
