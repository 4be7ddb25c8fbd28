"""TokenBatch: prompts as ids, padded on the right, with their lengths."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

from workbench.core import MaskPolicy, RowContext, TextError

from .shape import ModelShape


class TokenBatch(NamedTuple):
    """Token ids [b t], padded on the right, and the number of real tokens of every row [b]."""

    ids: Int[Tensor, "b t"]
    lengths: Int[Tensor, " b"]

    def context(self) -> RowContext:
        """Absolute positions (-1 at padding) and prompt lengths of a full forward pass."""
        positions = torch.arange(self.ids.shape[1], device=self.ids.device).expand(self.ids.shape)
        return RowContext(torch.where(positions < self.lengths[:, None], positions, -1), self.lengths)

    def row(self, index: int) -> Int[Tensor, " t"]:
        """The real tokens of one row."""
        return self.ids[index, : int(self.lengths[index])]


def as_batch(tokens: TokenBatch | Tensor | Sequence[int], shape: ModelShape, device: torch.device) -> TokenBatch:
    """Check tokens and put them on a device; a plain tensor [b t] or [t] counts as unpadded.

    Raises:
        TextError: no tokens, more than the model's context holds, or ids outside its vocabulary.
    """
    if isinstance(tokens, TokenBatch):
        ids, lengths = tokens
    else:
        ids = torch.as_tensor(tokens)
        ids = ids[None] if ids.ndim == 1 else ids
        lengths = torch.full(ids.shape[:1], ids.shape[-1])
    if ids.ndim != 2 or ids.is_floating_point():
        raise TextError("tokens are whole numbers of shape [b, t]", f"found {ids.dtype} of {tuple(ids.shape)}")
    if ids.numel() == 0 or int(lengths.min()) < 1:
        raise TextError("a prompt needs at least one token", f"found shape {tuple(ids.shape)}")
    if int(lengths.max()) > ids.shape[1] or lengths.shape != ids.shape[:1]:
        raise TextError("lengths do not fit the tokens", f"found {lengths.tolist()} for {tuple(ids.shape)}")
    _check_length(ids.shape[1], shape)
    low, high = int(ids.min()), int(ids.max())
    if low < 0 or high >= shape.d_vocab:
        raise TextError(f"token ids run from 0 to {shape.d_vocab - 1}", f"found {low if low < 0 else high}")
    return TokenBatch(ids.to(device, torch.long), lengths.to(device, torch.long))


def encode_prompts(
    text: str | Sequence[str], tokenizer: Any, policy: MaskPolicy, shape: ModelShape, prepend_bos: bool | None = None
) -> TokenBatch:
    """Prompts as tokens, with BOS in front if the policy (or `prepend_bos`) says so and none is there.

    Raises:
        TextError: a prompt is empty or longer than the context.
    """
    prompts = [text] if isinstance(text, str) else list(text)
    if not prompts:
        raise TextError("no prompt given")
    rows = [
        _encode(prompt, tokenizer, policy.prepend_bos if prepend_bos is None else prepend_bos) for prompt in prompts
    ]
    lengths = [len(row) for row in rows]
    _check_length(max(lengths), shape)
    filler = tokenizer.eos_id if tokenizer.eos_id is not None else 0
    ids = torch.full((len(rows), max(lengths)), filler)
    for row, found in zip(ids, rows, strict=True):
        row[: len(found)] = torch.tensor(found)
    return TokenBatch(ids, torch.tensor(lengths))


def _encode(prompt: str, tokenizer: Any, bos: bool) -> list[int]:
    if not prompt:
        raise TextError("the prompt is empty", hint="give at least one character")
    ids = tokenizer.encode(prompt)
    if bos and tokenizer.bos_id is not None and ids[:1] != [tokenizer.bos_id]:
        ids = [tokenizer.bos_id, *ids]
    if not ids:
        raise TextError("the prompt has no tokens", f"found {prompt!r}")
    return ids


def _check_length(length: int, shape: ModelShape) -> None:
    if length > shape.n_ctx:
        raise TextError(
            f"the prompt is longer than the model's context of {shape.n_ctx} tokens",
            f"found {length} tokens",
            "cut the text or split it",
        )
