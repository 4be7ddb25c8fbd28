"""TextIndex: the tokens of a store in row order, and the document and place of every row."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from jaxtyping import Bool, Int
from safetensors import SafetensorError, safe_open
from torch import Tensor

from workbench.core import MaskPolicy, StoreError, file_sha256, write_json
from workbench.data import PackedText
from workbench.models import HookedModel

from .shards import write_tensors

TEXT = "text.safetensors"
DOCUMENTS = "documents.json"


@dataclass(frozen=True)
class TextIndex:
    """Rows are the positions of all sequences, one sequence after another, without padding.

    starts: the first token of every sequence, counted in its document without BOS; -1 where it is not known.
    """

    tokens: Int[Tensor, " n"]
    lengths: Int[Tensor, " s"]
    documents: Int[Tensor, " s"]
    starts: Int[Tensor, " s"]

    @cached_property
    def offsets(self) -> Int[Tensor, " s1"]:
        """First row of every sequence, and the number of rows at the end."""
        return row_offsets(self.lengths)

    def sequence_of(self, row: int) -> int:
        """The sequence that holds a row."""
        return int(torch.searchsorted(self.offsets, row, right=True)) - 1

    def positions(self) -> Int[Tensor, " n"]:
        """Position of every row in its sequence."""
        first = torch.repeat_interleave(self.offsets[:-1].int(), self.lengths.long())
        return torch.arange(len(self.tokens), dtype=torch.int32) - first

    def mask(self, policy: MaskPolicy, special_ids: tuple[int, ...]) -> Bool[Tensor, " n"]:
        """True for the rows that count: the positions that `PackedText.mask` keeps."""
        keep = torch.ones(len(self.tokens), dtype=torch.bool)
        for position in range(policy.skip_first):
            keep[self.offsets[:-1][self.lengths > position] + position] = False
        if policy.exclude_special and special_ids:
            keep &= ~torch.isin(self.tokens, torch.tensor(special_ids, dtype=self.tokens.dtype))
        return keep


def row_offsets(lengths: Int[Tensor, " s"]) -> Int[Tensor, " s1"]:
    """Cumulative lengths from 0."""
    return torch.cat([torch.zeros(1, dtype=torch.long), lengths.long().cumsum(0)])


def real_positions(text: PackedText) -> Bool[Tensor, "s t"]:
    """True where a packed text holds a token and no padding."""
    return torch.arange(text.ids.shape[1]) < text.lengths[:, None]


def special_ids(model: HookedModel) -> tuple[int, ...]:
    """The tokenizer's special tokens in order; none for a model without a tokenizer."""
    return tuple(sorted(map(int, model.tokenizer.special_ids))) if model.tokenizer is not None else ()


def write_text_index(folder: Path, text: PackedText) -> dict[str, str]:
    """Write the text beside its activations; file name -> sha256."""
    tensors = {
        "tokens": text.ids[real_positions(text)].int(),
        "lengths": text.lengths.int().contiguous(),
        "documents": text.document.int().contiguous(),
        "starts": (torch.full_like(text.lengths, -1) if text.start is None else text.start).int().contiguous(),
    }
    sha256, _ = write_tensors(folder / TEXT, tensors)
    write_json(folder / DOCUMENTS, list(text.document_ids))
    return {TEXT: sha256, DOCUMENTS: file_sha256(folder / DOCUMENTS)}


def read_text_index(folder: Path) -> TextIndex:
    """Read what `write_text_index` wrote; the tokens stay on the disk until they are touched.

    Raises:
        StoreError: the file is missing or damaged.
    """
    try:
        with safe_open(folder / TEXT, framework="pt") as file:
            return TextIndex(*(file.get_tensor(name) for name in ("tokens", "lengths", "documents", "starts")))
    except (OSError, SafetensorError) as error:
        raise StoreError(f"cannot read {folder / TEXT}", found=str(error), hint="capture again") from None


def read_document_ids(folder: Path) -> list[str]:
    """The names of the documents.

    Raises:
        StoreError: the file is missing or damaged.
    """
    try:
        return json.loads((folder / DOCUMENTS).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(f"cannot read {folder / DOCUMENTS}", found=str(error), hint="capture again") from None
