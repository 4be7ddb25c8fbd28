"""linear and the dense products of the CPU path, on both routes whatever the processor."""

import pytest
import torch

from sparse_kernels import KernelError, dense, encode_topk, linear
from sparse_kernels.cpu import product, rough

needs_onednn = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this PyTorch has no oneDNN")


@needs_onednn
@pytest.mark.parametrize("strided", [False, True])
@pytest.mark.parametrize(("n", "d", "e"), [(1, 1, 1), (33, 7, 19), (130, 64, 5)])
def test_onednn_route_agrees_with_torch(n: int, d: int, e: int, strided: bool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(dense, "prefers_onednn", lambda: True)

    def run(operation) -> list[torch.Tensor]:
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(d, n, generator=generator).T if strided else torch.randn(n, d, generator=generator)
        leaves = [x, torch.randn(e, d, generator=generator), torch.randn(e, generator=generator)]
        leaves = [leaf.detach().requires_grad_() for leaf in leaves]
        out = operation(*leaves)
        (out * torch.randn(n, e, generator=generator)).sum().backward()
        return [out.detach(), *(leaf.grad for leaf in leaves)]

    for found, wanted in zip(run(linear), run(torch.nn.functional.linear), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)


def test_other_dtypes_empty_batches_and_no_bias():
    x = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(linear, (x, weight))
    assert linear(torch.zeros(0, 4), torch.zeros(5, 4)).shape == (0, 5)
    with pytest.raises(KernelError, match=r"weight: wanted \[f, 4\]"):
        linear(torch.zeros(2, 4), torch.zeros(5, 3))


@needs_onednn
@pytest.mark.parametrize("rows", [40, product.PACKING_PAYS + 3])
def test_encoding_through_packed_tiles_is_the_same(rows: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rough, "multiplies_bfloat16", lambda: False)
    monkeypatch.setattr(product, "tile_width", lambda rows, size: 50)
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(-3, 4, (rows, 12), generator=generator).float()
    weight = torch.randint(-3, 4, (230, 12), generator=generator).float()
    bias = torch.randint(-3, 4, (230,), generator=generator).float()
    found = {}
    for onednn in (True, False):
        monkeypatch.setattr(product, "prefers_onednn", lambda onednn=onednn: onednn)
        found[onednn] = [encode_topk(x, weight, offset, 9, backend="cpu") for offset in (bias, None)]
    for packed, plain in zip(found[True], found[False], strict=True):
        assert torch.equal(packed[0], plain[0])
        assert torch.equal(packed[1], plain[1])


def test_the_processor_is_named():
    assert product.processor_vendor()
    assert product.prefers_onednn() in (True, False)
