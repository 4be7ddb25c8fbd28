"""encode_topk: rows times encoder, the k largest features of each row, without the matrix of all features."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sparse_kernels import reference
from sparse_kernels.dispatch import Backend, Chosen, choose_backend
from sparse_kernels.native import native_operations
from sparse_kernels.operands import check_encoder, check_k


def encode_topk(
    x: Float[Tensor, "n d"],
    weight: Float[Tensor, "f d"],
    bias: Float[Tensor, " f"] | None,
    k: int,
    *,
    backend: Backend = "auto",
    relu: bool = True,
) -> tuple[Int[Tensor, "n k"], Float[Tensor, "n k"]]:
    """The k largest of relu(x @ weight.T + bias) in each row, as (index int64, value).

    Largest first, ties to the lowest feature; the indices of a row are all different. A row with fewer
    than k positive features is padded with value 0 at the lowest features that are not positive, exactly as a
    stable sort of the whole row would have it. `relu=False` ranks the raw values, negative ones included.
    NaN ranks above everything and comes out as NaN, so that a broken row breaks the loss instead of hiding;
    infinities are numbers like others. float16 and bfloat16 compute in float32 and round at the end.

    Gradients reach x, weight and bias through the chosen entries that are not 0 (all of them under
    `relu=False`); none goes to the index. Second derivatives exist on the reference only.

    Raises: KernelError for operands that do not fit one another, or a k outside 1..f.
    """
    check_encoder(x, weight, bias)
    check_k(k, weight.shape[0])
    chosen = choose_backend(backend, x, weight.shape[0])
    if chosen == "reference" or 0 in x.shape:
        return reference.encode_topk(x, weight, bias, k, relu=relu)
    index, value = _EncodeTopK.apply(x, weight, bias, k, relu, chosen)  # pyright: ignore[reportGeneralTypeIssues]
    return index, value


class _EncodeTopK(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, k: int, relu: bool, chosen: Chosen
    ) -> tuple[Tensor, Tensor]:
        operations = native_operations(chosen)
        wide = None if bias is None else bias.float().contiguous()
        index, value = operations.encode_topk(x.float().contiguous(), weight.float().contiguous(), wide, k, relu)
        ctx.save_for_backward(x, weight, bias, index, value)
        ctx.relu, ctx.operations = relu, operations
        ctx.mark_non_differentiable(index)
        ctx.set_materialize_grads(False)
        return index, value.to(x.dtype)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, _: None, upstream: Tensor | None) -> tuple[Tensor | None, ...]:
        if upstream is None:
            return (None,) * 6
        x, weight, bias, index, value = ctx.saved_tensors
        gradient = upstream.float()
        if ctx.relu:
            gradient = torch.where(value == 0, 0.0, gradient)
        gradient = gradient.contiguous()
        to_x = to_weight = to_bias = None
        if ctx.needs_input_grad[0]:
            to_x = ctx.operations.gather_sum(index, gradient, weight.float().contiguous()).to(x.dtype)
        if ctx.needs_input_grad[1] or ctx.needs_input_grad[2]:
            rows, sums = ctx.operations.scatter_sum(index, gradient, x.float().contiguous(), weight.shape[0])
            to_weight = rows.to(weight.dtype)
            to_bias = None if bias is None else sums.to(bias.dtype)
        return to_x, to_weight, to_bias, None, None, None
