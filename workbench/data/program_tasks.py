"""Sequence tasks that small programs solve (the RASP tasks of Friedman, Wettig and Chen 2023)."""

from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

from workbench.core import ConfigError, generator

BOS, EOS, PAD = 0, 1, 2
SPECIAL = ("<s>", "</s>", "<pad>")
IGNORED = -100


class Sequences(NamedTuple):
    """Token ids, padded on the right, and the class wanted at every position (IGNORED where none is)."""

    ids: Int[Tensor, "b t"]
    targets: Int[Tensor, "b t"]


def draw_sequences(task: str, count: int, seed: int, *, letters: int = 8, longest: int = 8) -> Sequences:
    """Distinct sequences `<s> letters </s>` of 1 to `longest` letters, in random order.

    `histogram`: at each letter, how often it occurs (class n means n times). `reverse`: at the i-th letter, the i-th
    from the end (class: its token id).

    Raises:
        ConfigError: an unknown task, or more sequences than there are.
    """
    if task not in ("histogram", "reverse"):
        raise ConfigError(f"unknown task {task!r}", hint="there are histogram and reverse")
    if count > sum(letters**length for length in range(1, longest + 1)):
        raise ConfigError(f"there are no {count} distinct sequences", hint="ask for fewer, or for longer ones")
    draw, found = generator(seed, "sequences", task), {}
    while len(found) < count:
        length = int(torch.randint(1, longest + 1, (), generator=draw))
        found.setdefault(tuple(torch.randint(letters, (length,), generator=draw).tolist()))
    ids = torch.full((count, longest + 2), PAD)
    targets = torch.full((count, longest + 2), IGNORED)
    for row, word in enumerate(found):
        tokens = [letter + len(SPECIAL) for letter in word]
        ids[row, : len(word) + 2] = torch.tensor([BOS, *tokens, EOS])
        wanted = tokens[::-1] if task == "reverse" else [word.count(letter) for letter in word]
        targets[row, 1 : len(word) + 1] = torch.tensor(wanted)
    return Sequences(ids, targets)


def token_names(letters: int = 8) -> tuple[str, ...]:
    """What the ids stand for."""
    return SPECIAL + tuple("abcdefghijklmnopqrstuvwxyz"[:letters])
