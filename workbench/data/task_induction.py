"""Induction: what followed a word the first time follows it again (Olsson et al. 2022, arXiv 2209.11895)."""

import random
from collections.abc import Sequence

from workbench.core import PromptPair, child, register_task

from .pack import TextTokenizer
from .task_words import COMMON, single_tokens

_LENGTH = 8


@register_task("induction", "the next of a row of random words that is being repeated")
def induction(tokenizer: TextTokenizer, count: int, seed: int) -> Sequence[PromptPair]:
    """Eight different words, of which the first 3 to 6 come again; wrong are the row's other words.

    In the corrupted twin other words follow the row, so nothing is repeated.
    """
    draw = random.Random(child(seed, "induction"))
    words = single_tokens(tokenizer, COMMON, 2 * _LENGTH, "induction")
    prompts = []
    for _ in range(count):
        row, again = draw.sample(words, _LENGTH + 6), draw.randint(3, 6)
        row, others = row[:_LENGTH], row[_LENGTH:]
        prompt, corrupted = (" " + " ".join([*row, *tail[:again]]) for tail in (row, others))
        foils = tuple(f" {word}" for word in row[again + 1 :])
        prompts.append(PromptPair(prompt, f" {row[again]}", foils[0], "", corrupted, foils=foils))
    return prompts
