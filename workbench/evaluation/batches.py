"""Packed text in batches, with the positions that count."""

from collections.abc import Iterator
from typing import NamedTuple

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
    """The first `sequences` (None: all) in batches, padding that no sequence of the batch needs cut off.

    Raises:
        TextError: no position counts.
    """
    end = min(len(text), sequences or len(text))
    special = model.tokenizer.special_ids if model.tokenizer is not None else ()
    mask = text.mask(model.policy, tuple(special))[:end]
    if not mask.any():
        raise TextError("no position of the text counts", model.policy.describe(), "give more or longer documents")
    for start in range(0, end, size):
        part = slice(start, min(start + size, end))
        longest = int(text.lengths[part].max())
        tokens = TokenBatch(text.ids[part, :longest].long(), text.lengths[part].long())
        yield TextBatch(tokens, mask[part, :longest], text.document[part].long())
