"""Rows of one dictionary with what it makes of them, for probes."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int

from workbench.core import Progress, TextError
from workbench.data import PackedText
from workbench.dictionaries import Dictionary
from workbench.models import HookedModel, TokenBatch

from .batches import batches

Array = np.ndarray


class Collected(NamedTuple):
    """Counted rows of a text.

    Attributes:
        codes: values of the latents; activations: what the dictionary read, its Sites side by side.
        groups: the document of each row; places: (sequence, position) of each row.
        strings: the tokens of each sequence.
    """

    codes: Float[Array, "n f"]
    activations: Float[Array, "n d"]
    groups: Int[Array, " n"]
    places: list[tuple[int, int]]
    strings: list[list[str]]


@torch.no_grad()
def encode_rows(dictionary: Dictionary, inputs: dict) -> tuple[Float[Array, "n f"], Float[Array, "n d"]]:
    """Dense codes of some rows, and the rows read, as numpy."""
    codes = dictionary.encode(inputs).dense().float().cpu().numpy()
    rows = torch.cat([inputs[site].float() for site in dictionary.reads], 1).cpu().numpy()
    return codes, rows


def collect(
    model: HookedModel, dictionary: Dictionary, text: PackedText, rows: int, batch: int, progress: Progress
) -> Collected:
    """The first `rows` counted rows of a text."""
    codes, activations, groups = [], [], []
    places: list[tuple[int, int]] = []
    strings: list[list[str]] = []
    for part in batches(model, text, batch):
        mask = part.mask.to(model.device)
        found = model.capture(part.tokens, dictionary.reads)
        inputs = {site: x[mask].flatten(1).float() for site, x in found.items()}
        for array, into in zip(encode_rows(dictionary, inputs), (codes, activations), strict=True):
            into.append(array)
        groups.append(part.document[:, None].expand(part.mask.shape)[part.mask].numpy())
        places += [(len(strings) + s, t) for s, t in part.mask.nonzero().tolist()]
        strings += [model.tokenizer.strings(ids[:length].tolist()) for ids, length in zip(*part.tokens, strict=True)]
        progress.advance(len(part.document))
        if len(places) >= rows or progress.cancelled():
            break
    stacked = np.concatenate(codes)[:rows], np.concatenate(activations)[:rows], np.concatenate(groups)[:rows]
    return Collected(*stacked, places[:rows], strings)


def label_rows(collected: Collected, labels: dict[str, Callable[[Sequence[str], int], bool]]) -> dict[str, Array]:
    """Which labels hold of each row."""
    return {
        name: np.array([bool(holds(collected.strings[s], t)) for s, t in collected.places])
        for name, holds in labels.items()
    }


def capture_words(
    model: HookedModel, dictionary: Dictionary, prompts: Sequence[list[int]], batch: int, progress: Progress
) -> tuple[Float[Array, "n f"], Float[Array, "n d"]]:
    """Codes and rows at the last token of each prompt.

    Raises:
        TextError: no prompt.
    """
    if not prompts:
        raise TextError("there is no word to capture")
    codes, activations = [], []
    for start in range(0, len(prompts), batch):
        part = prompts[start : start + batch]
        lengths = torch.tensor([len(ids) for ids in part])
        ids = torch.zeros(len(part), int(lengths.max()), dtype=torch.long)
        for row, prompt in enumerate(part):
            ids[row, : len(prompt)] = torch.tensor(prompt)
        found = model.capture(TokenBatch(ids, lengths), dictionary.reads)
        last = torch.arange(len(part))
        inputs = {site: x[last, lengths - 1].flatten(1).float() for site, x in found.items()}
        for array, into in zip(encode_rows(dictionary, inputs), (codes, activations), strict=True):
            into.append(array)
        progress.advance(len(part))
    return np.concatenate(codes), np.concatenate(activations)
