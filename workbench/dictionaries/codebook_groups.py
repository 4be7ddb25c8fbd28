"""Grouped codebooks: search and sums where every slice of a row has codes of its own."""

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from sparse_kernels import decode as sparse_decode, nearest_code
from workbench.core import Codes

_METRICS: dict[str, Literal["dot", "cosine", "euclidean"]] = {
    "dot": "cosine",
    "cosine": "cosine",
    "euclidean": "euclidean",
    "raw-dot": "dot",
}
"""Names of the kernels: they rank by x . c / |c| under `cosine`, and by x . c under `dot`."""


def nearest_in_groups(
    rows: Float[Tensor, "n d"],
    book: Float[Tensor, "f p"],
    groups: int,
    k: int,
    similarity: str,
    off: Bool[Tensor, " f"],
) -> Int[Tensor, "n gk"]:
    """Numbers of the k nearest codes in each group, nearest first, group by group; none of those that are off."""
    codes = len(book) // groups
    parts, books = rows.unflatten(1, (groups, -1)), book.unflatten(0, (groups, codes))
    found = torch.empty(len(rows), groups, k, dtype=torch.long, device=rows.device)
    some_off = bool(off.any())
    for group in range(groups):
        part, own = parts[:, group].contiguous(), books[group]
        if some_off:
            kept = (~off[group * codes : (group + 1) * codes]).nonzero().flatten()
            index = kept[nearest_code(part, own[kept], k, metric=_METRICS[similarity])[0]]
        else:
            index = nearest_code(part, own, k, metric=_METRICS[similarity])[0]
        torch.add(index, group * codes, out=found[:, group])
    return found.flatten(1)


def decode_groups(codes: Codes, book: Float[Tensor, "f p"], groups: int) -> Float[Tensor, "n d"]:
    """The sum of value * code, each code in the slice of its group; entries may stand in any order."""
    n, size = len(codes), book.shape[1]
    if groups == 1:
        return sparse_decode(codes.index, codes.value, book, codes.offsets)
    per_group, width = len(book) // groups, 0 if codes.offsets is not None else codes.index.shape[1]
    if width and width % groups == 0:
        wanted = torch.arange(groups, device=codes.index.device).repeat_interleave(width // groups)
        if torch.equal(codes.index // per_group, wanted.expand(n, -1)):
            shape = n * groups, width // groups
            return sparse_decode(codes.index.reshape(shape), codes.value.reshape(shape), book).reshape(n, groups * size)
    slot = (codes.row_ids() * groups + codes.index // per_group).flatten()
    order = slot.argsort(stable=True)
    counts = torch.bincount(slot, minlength=n * groups)
    ends = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    index, value = codes.index.flatten()[order], codes.value.flatten()[order]
    return sparse_decode(index, value, book, ends).reshape(n, groups * size)


def similarities(
    rows: Float[Tensor, "n d"], book: Float[Tensor, "f p"], groups: int, similarity: str
) -> Float[Tensor, "n f"]:
    """How near every code of its group is to a row's slice; larger is nearer."""
    parts, books = rows.unflatten(1, (groups, -1)).transpose(0, 1), book.unflatten(0, (groups, -1))
    if similarity == "euclidean":
        return -torch.cdist(parts, books, compute_mode="donot_use_mm_for_euclid_dist").transpose(0, 1).flatten(1)
    if similarity != "raw-dot":
        length = books.norm(dim=2, keepdim=True)
        books = torch.where(length == 0, 0.0, books / length)
    found = parts @ books.transpose(1, 2)
    if similarity == "cosine":
        length = parts.norm(dim=2, keepdim=True)
        found = torch.where(length == 0, 0.0, found / length)
    return found.transpose(0, 1).flatten(1)
