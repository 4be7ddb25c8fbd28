"""The CPU path's operations on float32 tensors: no checks, no autograd, no padding of dtypes."""

import weakref
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from sparse_kernels.cpu.batch_topk import encode_batch_topk as encode_batch_topk
from sparse_kernels.cpu.compiled import kernel_module, threads
from sparse_kernels.cpu.encoder import encode_topk as encode_topk
from sparse_kernels.cpu.threshold import encode_threshold as encode_threshold
from sparse_kernels.cpu.workspace import gradients


def gather_sum(index: Tensor, value: Tensor, weight: Tensor, offsets: Tensor | None) -> Tensor:
    """out[i] = sum of value[e] * weight[index[e]] over row i's entries: PyTorch's own kernel is the fastest here."""
    return torch.nn.functional.embedding_bag(
        index, weight, offsets, per_sample_weights=value, mode="sum", include_last_offset=offsets is not None
    )


def gather_dot(index: Tensor, source: Tensor, weight: Tensor, offsets: Tensor | None) -> Tensor:
    """out[e] = source[i] . weight[index[e]] for row i's entries."""
    out = torch.empty(index.shape)
    ends = _offsets(index, offsets)
    flat = index.reshape(-1).numpy(), ends, source.numpy(), weight.numpy(), out.view(-1).numpy()
    kernels = kernel_module("rows")
    with threads() as parts:
        if parts == 1:
            kernels.gather_dot(*flat, 0, len(source))
        else:
            kernels.gather_dot_parallel(*flat, _even_bounds(ends, parts))
    return out


def scatter_sum(
    index: Tensor, coefficient: Tensor, source: Tensor, features: int, offsets: Tensor | None
) -> tuple[Tensor, Tensor]:
    """out[f] = sum of coefficient[e] * source[i] over entries with index f, and the sum without source."""
    kernels = kernel_module("rows")
    groups = group_by_feature(index, features, offsets)
    out = gradients.take((features, source.shape[1]))
    sums = torch.empty(features)
    operands = (*groups, coefficient.reshape(-1).numpy(), source.numpy(), out.numpy(), sums.numpy())
    with threads() as parts:
        if parts == 1:
            kernels.scatter_sum(*operands, 0, features)
        else:
            kernels.scatter_sum_parallel(*operands, _even_bounds(groups.begins, parts))
    return out, sums


class Groups(NamedTuple):
    """An index by feature: at begins[f] to begins[f + 1], the flat positions where f stands, and their rows."""

    begins: np.ndarray
    entries: np.ndarray
    owners: np.ndarray


class _Latest(NamedTuple):
    tensors: tuple[weakref.ref[Tensor], ...]
    name: tuple[object, ...]
    groups: Groups


_latest_groups: _Latest | None = None


def group_by_feature(index: Tensor, features: int, offsets: Tensor | None) -> Groups:
    """Sorted once for an index: the decoder's and the encoder's gradients of a step share it.

    While the tensors it was made from live, nobody else can own their memory, so address, shape and version
    name the contents (autograd hands back the same memory in another Python object).
    """
    global _latest_groups
    tensors = (index,) if offsets is None else (index, offsets)
    name = (features, *((tensor.data_ptr(), tuple(tensor.shape), tensor._version) for tensor in tensors))
    latest = _latest_groups
    if latest is not None and latest.name == name and all(reference() is not None for reference in latest.tensors):
        return latest.groups
    groups = Groups(np.empty(features + 1, np.int64), *(np.empty(index.numel(), np.int64) for _ in range(2)))
    kernel_module("rows").group_by_feature(index.reshape(-1).numpy(), _offsets(index, offsets), *groups)
    _latest_groups = _Latest(tuple(weakref.ref(tensor) for tensor in tensors), name, groups)
    return groups


def _offsets(index: Tensor, offsets: Tensor | None) -> np.ndarray:
    """Where each row's entries begin, also of codes [n k]."""
    return np.arange(len(index) + 1) * index.shape[1] if offsets is None else offsets.numpy()


def _even_bounds(begins: np.ndarray, parts: int) -> np.ndarray:
    """Features (or rows) that cut the work into even parts: an entry costs one row, and so does having none."""
    work = begins + np.arange(begins.shape[0])
    bounds = np.searchsorted(work, np.arange(parts + 1) * (work[-1] / parts))
    bounds[0], bounds[-1] = 0, begins.shape[0] - 1
    return bounds
