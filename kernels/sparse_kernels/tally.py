"""What a single pass over dense rows counts: for profiles of activations that are too many to keep."""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sparse_kernels.dispatch import Backend, choose_backend
from sparse_kernels.errors import KernelError
from sparse_kernels.operands import check_matrix, describe

BINS = 1 << 11
"""Bins of a histogram of sizes: eight to each power of two (the upper bits of a float32 without its sign)."""


class Tally:
    """Counts over rows of one width, added to batch by batch; memory does not grow with the rows.

    Attributes:
        counts: [f] how often a column's size reached its limit.
        histogram: [BINS] how many values fell into each bin of sizes; bin 0 holds zeros (and sizes below 2^-126).
        rows: rows taken in.
    """

    def __init__(self, limits: Float[Tensor, " f"]) -> None:
        if limits.ndim != 1 or limits.dtype != torch.float32:
            raise KernelError(f"limits: wanted [f] float32; found {describe(limits)}")
        self.limits = limits.contiguous()
        self.counts = torch.zeros(len(limits), dtype=torch.long, device=limits.device)
        self.histogram = torch.zeros(BINS, dtype=torch.long, device=limits.device)
        self.rows = 0

    @torch.no_grad()
    def add(
        self, rows: Float[Tensor, "n f"], kept: Bool[Tensor, " n"], *, backend: Backend = "auto"
    ) -> tuple[Int[Tensor, " n"], Float[Tensor, " n"]]:
        """Take in the kept rows; returns how many columns reached their limit and the largest size, 0 where not kept.

        Raises: KernelError for rows of another width.
        """
        check_matrix("rows", rows, "[n, f]")
        if rows.shape[1] != len(self.limits) or kept.shape != rows.shape[:1]:
            raise KernelError(f"rows: wanted [n, {len(self.limits)}] with kept [n]; found {describe(rows)}")
        self.rows += int(kept.sum())
        values = rows.detach().float().contiguous()
        if choose_backend(backend, values) == "cpu" and len(values):
            return self._native(values, kept)
        return self._reference(values, kept)

    def _native(self, values: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
        from sparse_kernels.cpu.compiled import kernel_module, threads

        kernels = kernel_module("tally")
        fired, largest = np.zeros(len(values), np.int32), np.zeros(len(values), np.float32)
        array = values.numpy()
        given = array, array.view(np.int32), kept.numpy(), self.limits.numpy()
        with threads() as parts:
            counts = np.zeros((parts, len(self.limits)), np.int32)
            histogram = np.zeros((parts, kernels.LANES, BINS), np.int32)
            if parts == 1:
                kernels.tally_rows(*given, counts[0], histogram[0], fired, largest, 0, len(values))
            else:
                kernels.tally_rows_parallel(*given, counts, histogram, fired, largest, parts)
        self.counts += torch.from_numpy(counts.sum(0, dtype=np.int64))
        self.histogram += torch.from_numpy(histogram.sum((0, 1), dtype=np.int64))
        return torch.from_numpy(fired).long(), torch.from_numpy(largest)

    def _reference(self, values: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
        sizes = values.abs()
        hits = (sizes >= self.limits) & kept[:, None]
        self.counts += hits.sum(0)
        bins = (values[kept].view(torch.int32) & 0x7FFFFFFF) >> 20
        self.histogram += torch.bincount(bins.flatten(), minlength=BINS)
        largest = sizes.amax(1) if values.shape[1] else sizes.new_zeros(len(sizes))
        return hits.sum(1), largest.masked_fill(~kept, 0)


def bin_edges() -> Float[Tensor, " bins"]:
    """The smallest size of each bin, up to the largest finite one; the rest are not finite."""
    return (torch.arange(BINS, dtype=torch.int32) << 20).view(torch.float32)


@torch.no_grad()
def row_moments(rows: Float[Tensor, "n d"], *, backend: Backend = "auto") -> Float[Tensor, "n 4"]:
    """Largest size, mean, variance (over d) and fourth central moment of every row."""
    check_matrix("rows", rows, "[n, d]")
    values = rows.detach().float().contiguous()
    if choose_backend(backend, values) == "cpu" and len(values):
        from sparse_kernels.cpu.compiled import by_rows

        moments = np.empty((len(values), 4), np.float32)
        by_rows("tally", "row_moments", (values.numpy(), moments), len(values))
        return torch.from_numpy(moments)
    centred = values - values.mean(1, keepdim=True)
    square = centred.square()
    columns = (values.abs().amax(1), values.mean(1), square.mean(1), square.square().mean(1))
    return torch.stack(columns, 1)
