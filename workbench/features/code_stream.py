"""Codes of a text as the model reads it, batch by batch: nothing is kept of what went by."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from workbench.core import Codes, Edit, Interrupted, Progress, Silent
from workbench.data import PackedText
from workbench.dictionaries import Dictionary, DictionarySet
from workbench.models import HookedModel, TokenBatch

from .code_config import CodeSearchConfig


class CodeBatch(NamedTuple):
    """Some sequences: tokens with their texts, the positions that count, and per member the active codes.

    codes: member -> index [b, t, k], -1 where nothing is active or the position does not count.
    """

    tokens: TokenBatch
    strings: list[list[str]]
    mask: Bool[Tensor, "b t"]
    document: Int[Tensor, " b"]
    codes: dict[str, Int[Tensor, "b t k"]]


@torch.no_grad()
def stream_codes(
    model: HookedModel,
    dictionaries: DictionarySet,
    text: PackedText,
    config: CodeSearchConfig,
    weights: Mapping[str, Tensor] | None = None,
    progress: Progress | None = None,
) -> Iterator[CodeBatch]:
    """The active codes of every sequence, one forward pass a batch.

    Args:
        weights: of a model that was trained with its codebooks.

    Raises:
        Interrupted: cancelled.
    """
    edits = [Edit.through(dictionary) for dictionary in dictionaries.values()]
    reads = tuple(dict.fromkeys(site for dictionary in dictionaries.values() for site in dictionary.reads))
    for batch in text_batches(model, text, config, "read codes", progress):
        tokens, mask = batch.tokens, batch.mask
        if config.spliced:
            run = model.run(tokens, edits, logits=False, weights=weights)
            found = {
                name: _placed(run.codes[member.name], run.code_rows[member.name], mask)
                for name, member in dictionaries.items()
            }
        else:
            inputs = model.run(tokens, sites=reads, logits=False, weights=weights).activations
            real = torch.ones(mask.shape, dtype=torch.bool)
            found = {
                name: _placed(member.encode({site: inputs[site].flatten(0, 1).flatten(1) for site in member.reads}),
                              real, mask)
                for name, member in dictionaries.items()
            }  # fmt: skip
        yield batch._replace(codes=found)


def text_batches(
    model: HookedModel, text: PackedText, config: CodeSearchConfig, phase: str, progress: Progress | None = None
) -> Iterator[CodeBatch]:
    """The sequences themselves, batch by batch, without codes.

    Raises:
        Interrupted: cancelled.
    """
    progress = progress or Silent()
    end = min(len(text), config.sequences or len(text))
    keep = text.mask(model.policy, tuple(model.tokenizer.special_ids))
    progress.phase(phase, total=float(text.lengths[:end].sum()), unit="tokens")
    for start in range(0, end, config.batch_sequences):
        if progress.cancelled():
            raise Interrupted("reading codes was cancelled before the text was through")
        part = slice(start, min(start + config.batch_sequences, end))
        longest = int(text.lengths[part].max())
        tokens = TokenBatch(text.ids[part, :longest].long(), text.lengths[part].long())
        strings = [
            model.tokenizer.strings(ids[:length].tolist())
            for ids, length in zip(tokens.ids, tokens.lengths, strict=True)
        ]
        yield CodeBatch(tokens, strings, keep[part, :longest], text.document[part].long(), {})
        progress.advance(float(tokens.lengths.sum()))


def _placed(codes: Codes, rows: Bool[Tensor, "b t"], mask: Bool[Tensor, "b t"]) -> Int[Tensor, "b t k"]:
    """Codes of the selected rows at their places, on the CPU."""
    codes = codes.padded()
    index = torch.where(codes.value != 0, codes.index, -1).cpu()
    placed = torch.full((*mask.shape, index.shape[1]), -1, dtype=torch.long)
    placed[rows.cpu()] = index.long()
    return torch.where(mask[..., None], placed, -1)


def count_codes(index: Int[Tensor, "n k"], width: int) -> Int[Tensor, " f"]:
    """On how many rows each code is active; a code twice in a row counts once."""
    ordered = index.sort(1).values
    fresh = ordered >= 0
    fresh[:, 1:] &= ordered[:, 1:] != ordered[:, :-1]
    return torch.bincount(ordered[fresh], minlength=width)


def groups_of(member: Dictionary) -> int:
    """Groups of a codebook; 1 for what has none."""
    return int(getattr(member.config, "groups", 1))
