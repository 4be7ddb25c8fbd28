"""Selections with as many features in a row as it deserves: over the whole batch, or above a threshold."""

import torch
from jaxtyping import Float
from torch import Tensor

from sparse_kernels import reference
from sparse_kernels.dispatch import Backend, choose_backend
from sparse_kernels.encoding import encode_sparsely
from sparse_kernels.native import NativeOperations
from sparse_kernels.operands import check_encoder, check_k, check_threshold
from sparse_kernels.reference import Ragged


def encode_batch_topk(
    x: Float[Tensor, "n d"],
    weight: Float[Tensor, "f d"],
    bias: Float[Tensor, " f"] | None,
    k: int,
    *,
    backend: Backend = "auto",
) -> Ragged:
    """The n k largest of relu(x @ weight.T + bias) over the whole batch (BatchTopK, Bussmann et al. 2024).

    Ragged: (index int64 [m], value [m], offsets int64 [n + 1]); row i's entries stand from offsets[i] to
    offsets[i + 1], by rising feature. Only positive entries are taken, so m <= n k; ties at the cut go to the
    lowest row, then the lowest feature. NaN ranks above everything and comes out as NaN: a broken row takes
    places from the others, and of more than n k NaN the first n k are all that comes out. Plus infinity is a
    number like others. float16 and bfloat16 compute in float32 and round at the end.

    Gradients reach x, weight and bias through the chosen entries. Second derivatives exist on the reference only.

    Raises: KernelError for operands that do not fit one another, or a k outside 1..f.
    """
    check_encoder(x, weight, bias)
    check_k(k, weight.shape[0])
    chosen = choose_backend(backend, x, weight.shape[0])
    if chosen == "reference" or 0 in x.shape:
        return reference.encode_batch_topk(x, weight, bias, k)

    def select(native: NativeOperations, x: Tensor, weight: Tensor, bias: Tensor | None) -> Ragged:
        return native.encode_batch_topk(x, weight, bias, k)

    return encode_sparsely(x, weight, bias, select, chosen)


def encode_threshold(
    x: Float[Tensor, "n d"],
    weight: Float[Tensor, "f d"],
    bias: Float[Tensor, " f"] | None,
    threshold: float | Float[Tensor, " f"] | Float[Tensor, ""],
    *,
    backend: Backend = "auto",
    positive: bool = True,
) -> Ragged:
    """Every score of x @ weight.T + bias above its feature's threshold, and with `positive` above 0 as well.

    Ragged like `encode_batch_topk`, by rising feature; the value is the score itself. Threshold 0 is ReLU, one
    number for each feature JumpReLU (Rajamanoharan et al. 2024), one number for all BatchTopK after training.
    `positive=False` also takes negative scores above a negative threshold: with threshold - bandwidth / 2 the
    entries up to threshold + bandwidth / 2 are the window of a straight-through gradient. A NaN score passes
    every threshold, so that a broken row breaks the loss instead of hiding; nothing else passes a NaN threshold.
    float16 and bfloat16 compute and compare in float32, and round the value at the end.

    Memory grows with the entries: 12 bytes for each, on a CPU 8 more meanwhile. Where more than about a tenth of all
    scores pass, a dense ReLU is the faster choice. Gradients reach x, weight and bias through the chosen entries,
    and never the threshold. Second derivatives exist on the reference only.

    Raises: KernelError for operands that do not fit one another.
    """
    check_encoder(x, weight, bias)
    check_threshold(threshold, x, weight)
    cutoffs = torch.as_tensor(threshold, dtype=torch.float64 if x.dtype == torch.float64 else torch.float32)
    cutoffs = cutoffs.detach().to(x.device).expand(weight.shape[0])
    cutoffs = (cutoffs.clamp(min=0) if positive else cutoffs).contiguous()
    chosen = choose_backend(backend, x, weight.shape[0])
    if chosen == "reference" or 0 in x.shape or 0 in weight.shape:
        return reference.encode_threshold(x, weight, bias, cutoffs)

    def select(native: NativeOperations, x: Tensor, weight: Tensor, bias: Tensor | None) -> Ragged:
        return native.encode_threshold(x, weight, bias, cutoffs)

    return encode_sparsely(x, weight, bias, select, chosen)
