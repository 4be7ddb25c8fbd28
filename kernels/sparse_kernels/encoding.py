"""encode_topk: rows times encoder, the k largest features of each row, without the matrix of all features."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sparse_kernels import reference
from sparse_kernels.dispatch import Backend, Chosen, choose_backend
from sparse_kernels.native import NativeOperations, native_operations
from sparse_kernels.operands import check_encoder, check_groups, check_k
from sparse_kernels.weight_gradients import wants_sparse, weight_gradient


def encode_topk(
    x: Float[Tensor, "n d"],
    weight: Float[Tensor, "f d"],
    bias: Float[Tensor, " f"] | None,
    k: int,
    *,
    backend: Backend = "auto",
    relu: bool = True,
    groups: int = 1,
) -> tuple[Int[Tensor, "n k"], Float[Tensor, "n k"]]:
    """The k largest of relu(x @ weight.T + bias) in each row, as (index int64, value).

    Largest first, ties to the lowest feature; the indices of a row are all different. A row with fewer
    than k positive features is padded with value 0 at the lowest features that are not positive, exactly as a
    stable sort of the whole row would have it. `relu=False` ranks the raw values, negative ones included.
    NaN ranks above everything and comes out as NaN, so that a broken row breaks the loss instead of hiding;
    infinities are numbers like others. float16 and bfloat16 compute in float32 and round at the end.

    With `groups` the features fall into so many equal contiguous groups, and all of this goes for each: the k
    largest of group 0, then of group 1, and so on, [n, groups k] in all.

    Gradients reach x, weight and bias through the chosen entries that are not 0 (all of them under
    `relu=False`); none goes to the index. Second derivatives exist on the reference only.

    Raises: KernelError for operands that do not fit one another, a k outside 1..f / groups, or groups that do
    not divide f.
    """
    check_encoder(x, weight, bias)
    check_groups(groups, weight.shape[0])
    check_k(k, weight.shape[0] // groups, "the features of weight" if groups == 1 else "the features of a group")
    chosen = choose_backend(backend, x, weight.shape[0])
    if chosen == "reference" or 0 in x.shape:
        return reference.encode_topk(x, weight, bias, k, relu=relu, groups=groups)

    def select(native: NativeOperations, x: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor, None]:
        return *native.encode_topk(x, weight, bias, k, relu, groups), None

    index, value, _ = encode_sparsely(x, weight, bias, select, chosen, pass_zeros=not relu)
    return index, value


Selection = Callable[..., tuple[Tensor, Tensor, Tensor | None]]
"""From the native operations and float32 x, weight, bias to (index, value, offsets): [n k], or [m] with offsets."""


def encode_sparsely(
    x: Tensor, weight: Tensor, bias: Tensor | None, select: Selection, chosen: Chosen, *, pass_zeros: bool = True
) -> tuple[Tensor, Tensor, Any]:
    """What `select` chooses of x @ weight.T + bias, with gradients through the chosen entries.

    `pass_zeros=False` holds the gradient back from entries of value 0.
    """
    return _EncodeSparsely.apply(x, weight, bias, select, chosen, pass_zeros)  # pyright: ignore[reportReturnType]


class _EncodeSparsely(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        select: Selection,
        chosen: Chosen,
        pass_zeros: bool,
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        operations = native_operations(chosen)
        wide = None if bias is None else bias.float().contiguous()
        index, value, offsets = select(operations, x.float().contiguous(), weight.float().contiguous(), wide)
        ctx.save_for_backward(x, weight, bias, index, value, offsets)
        ctx.pass_zeros, ctx.operations, ctx.chosen = pass_zeros, operations, chosen
        ctx.sparse = wants_sparse(weight, bias)
        ctx.mark_non_differentiable(*(found for found in (index, offsets) if found is not None))
        ctx.set_materialize_grads(False)
        return index, value.to(x.dtype), offsets

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, _: None, upstream: Tensor | None, __: None) -> tuple[Tensor | None, ...]:
        if upstream is None:
            return (None,) * 6
        x, weight, bias, index, value, offsets = ctx.saved_tensors
        gradient = upstream.float()
        if not ctx.pass_zeros:
            gradient = torch.where(value == 0, 0.0, gradient)
        gradient = gradient.contiguous()
        to_x = to_weight = to_bias = None
        if ctx.needs_input_grad[0]:
            to_x = ctx.operations.gather_sum(index, gradient, weight.float().contiguous(), offsets).to(x.dtype)
        if ctx.needs_input_grad[1] or ctx.needs_input_grad[2]:
            source = x.float().contiguous()
            rows, sums = weight_gradient(ctx.chosen, index, gradient, source, weight, offsets, ctx.sparse)
            to_weight = rows.to(weight.dtype)
            to_bias = None if bias is None else sums.to(bias.dtype)
        return to_x, to_weight, to_bias, None, None, None
