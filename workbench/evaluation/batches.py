"""Packed text in batches, with the positions that count."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from workbench.core import TextError
from workbench.data import PackedText
from workbench.models import HookedModel, TokenBatch


class TextBatch(NamedTuple):
    """Some sequences: tokens, the positions that count [b t], and the document of each."""

    tokens: TokenBatch
    mask: Bool[Tensor, "b t"]
    document: Int[Tensor, " b"]


def batches(model: HookedModel, text: PackedText, size: int, sequences: int | None = None) -> Iterator[TextBatch]:
    """The text in batches, padding that no sequence of the batch needs cut off.

    Args:
        sequences: only so many, spread evenly, so that as many documents as possible are among them; None: all.

    Raises:
        TextError: no position counts.
    """
    chosen = spread(len(text), sequences or len(text))
    special = model.tokenizer.special_ids if model.tokenizer is not None else ()
    mask = text.mask(model.policy, tuple(special))[chosen]
    if not mask.any():
        raise TextError("no position of the text counts", model.policy.describe(), "give more or longer documents")
    for part, counted in zip(chosen.split(size), mask.split(size), strict=True):
        longest = int(text.lengths[part].max())
        tokens = TokenBatch(text.ids[part, :longest].long(), text.lengths[part].long())
        yield TextBatch(tokens, counted[:, :longest], text.document[part].long())


def spread(available: int, wanted: int) -> Int[Tensor, " n"]:
    """So many of `available` numbers, evenly spaced, in order; all where fewer are there."""
    if wanted >= available:
        return torch.arange(available)
    return torch.arange(wanted) * available // wanted
