"""The Triton kernels of the optimiser against the references, under Triton's interpreter (or on a GPU)."""

import pytest
import torch

from sparse_kernels import (
    decode,
    encode_topk,
    gradient_rows,
    reconstruction_error,
    remove_radial_,
    row_sparse_adam_,
    sparse_gradients,
    unit_norm_,
)

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
WIDTHS = [1, 7, 32, 130]


@pytest.mark.parametrize("d", WIDTHS)
def test_row_sparse_adam(d: int):
    def run(backend: str) -> list[torch.Tensor]:
        draw = torch.Generator().manual_seed(0)
        weight = torch.randn(9, d, generator=draw).to(DEVICE)
        mean, square = torch.zeros_like(weight), torch.zeros_like(weight)
        steps = torch.zeros(9, dtype=torch.int32, device=DEVICE)
        for rows in ([0, 3, 8], [3], [1, 2, 3]):
            gradient = torch.randn(len(rows), d, generator=draw).to(DEVICE)
            chosen = torch.tensor(rows, device=DEVICE)
            row_sparse_adam_(chosen, gradient, weight, mean, square, steps, lr=0.1, backend=backend)
        return [weight, mean, square, steps]

    for found, wanted in zip(run("triton"), run("reference"), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("d", WIDTHS)
def test_unit_norm_and_radial_part(d: int):
    draw = torch.Generator().manual_seed(1)
    weight, gradient = (torch.randn(n, d, generator=draw).to(DEVICE) for n in (6, 3))
    weight[2] = 0
    rows = torch.tensor([5, 2, 0], device=DEVICE)
    found, wanted = (gradient.clone() for _ in range(2))
    remove_radial_(found, weight, rows, backend="triton")
    remove_radial_(wanted, weight, rows, backend="reference")
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
    whole = weight.clone()
    remove_radial_(whole, weight, backend="triton")
    torch.testing.assert_close(whole, torch.zeros_like(whole), rtol=0, atol=1e-5)
    found, wanted = (weight.clone() for _ in range(2))
    unit_norm_(found, backend="triton")
    unit_norm_(wanted, backend="reference")
    torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("sparse", [True, False])
def test_a_step_with_the_error_in_one(sparse: bool):
    def run(backend: str) -> list[torch.Tensor]:
        draw = torch.Generator().manual_seed(2)
        shapes = ((5, 9), (40, 9), (40,), (40, 9), (9,))
        x, *leaves = (torch.randn(*s, generator=draw).to(DEVICE) for s in shapes)
        encoder, bias, decoder, base = (leaf.requires_grad_() for leaf in leaves)
        with sparse_gradients(sparse):
            index, value = encode_topk(x, encoder, bias, 3, backend=backend)
            error, residual = reconstruction_error(index, value, decoder, base, x, backend=backend)
            again = decode(index, value, decoder, backend=backend)
        (error.sum() + again.sum()).backward()
        grads = [leaf.grad for leaf in leaves]
        if backend == "triton":
            assert [grad.is_sparse for grad in grads] == [sparse, sparse, sparse, False]
        whole = []
        for grad in grads:
            if grad.is_sparse:
                rows, values = gradient_rows(grad)
                grad = torch.zeros(grad.shape, device=DEVICE).index_copy(0, rows, values)
            whole.append(grad)
        return [error.detach(), residual, *whole]

    for found, wanted in zip(run("triton"), run("reference"), strict=True):
        scale = max(1.0, float(wanted.abs().max()))
        torch.testing.assert_close(found / scale, wanted / scale, rtol=0, atol=1e-5)
