"""The CPU path's operations on float32 tensors: no checks, no autograd, no padding of dtypes."""

import weakref
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from sparse_kernels.cpu.compiled import by_rows, kernel_module, threads
from sparse_kernels.cpu.encoder import encode_topk as encode_topk
from sparse_kernels.cpu.workspace import gradients


def gather_sum(index: Tensor, value: Tensor, weight: Tensor) -> Tensor:
    """out[i] = sum over j of value[i, j] * weight[index[i, j]]: PyTorch's own kernel is the fastest here."""
    return torch.nn.functional.embedding_bag(index, weight, per_sample_weights=value, mode="sum")


def gather_dot(index: Tensor, source: Tensor, weight: Tensor) -> Tensor:
    """out[i, j] = source[i] . weight[index[i, j]]."""
    out = torch.empty(index.shape)
    by_rows("rows", "gather_dot", (index.numpy(), source.numpy(), weight.numpy(), out.numpy()), index.shape[0])
    return out


def scatter_sum(index: Tensor, coefficient: Tensor, source: Tensor, features: int) -> tuple[Tensor, Tensor]:
    """out[f] = sum of coefficient[i, j] * source[i] where index[i, j] = f, and the sum without source."""
    kernels = kernel_module("rows")
    groups = group_by_feature(index, features)
    out = gradients.take((features, source.shape[1]))
    sums = torch.empty(features)
    flat = coefficient.reshape(-1).numpy()
    operands = (
        groups.begins,
        groups.entries,
        flat,
        source.numpy(),
        index.shape[1],
        out.numpy(),
        sums.numpy(),
    )
    with threads() as parts:
        if parts == 1:
            kernels.scatter_sum(*operands, 0, features)
        else:
            kernels.scatter_sum_parallel(*operands, _even_bounds(groups.begins, parts))
    return out, sums


class Groups(NamedTuple):
    """An index by feature: entries[begins[f] : begins[f + 1]] are the flat positions where f stands."""

    begins: np.ndarray
    entries: np.ndarray


_latest_groups: tuple[weakref.ref[Tensor], tuple[object, ...], Groups] | None = None


def group_by_feature(index: Tensor, features: int) -> Groups:
    """Sorted once for an index: the decoder's and the encoder's gradients of a step share it.

    While the tensor it was made from lives, nobody else can own its memory, so address, shape and version
    name the contents (autograd hands back the same memory in another Python object).
    """
    global _latest_groups
    name = (index.data_ptr(), tuple(index.shape), index._version, features)
    latest = _latest_groups
    if latest is not None and latest[0]() is not None and latest[1] == name:
        return latest[2]
    groups = Groups(np.empty(features + 1, np.int64), np.empty(index.numel(), np.int64))
    kernel_module("rows").group_by_feature(index.reshape(-1).numpy(), *groups)
    _latest_groups = (weakref.ref(index), name, groups)
    return groups


def _even_bounds(begins: np.ndarray, parts: int) -> np.ndarray:
    """Features that cut the work into even parts: an entry costs one row, and so does an empty feature."""
    work = begins + np.arange(begins.shape[0])
    bounds = np.searchsorted(work, np.arange(parts + 1) * (work[-1] / parts))
    bounds[0], bounds[-1] = 0, begins.shape[0] - 1
    return bounds
