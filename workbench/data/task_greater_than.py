"""Greater-than: a span's end cannot lie before its start (Hanna et al. 2023, arXiv 2305.00586)."""

import random
from collections.abc import Sequence
from typing import NamedTuple

from workbench.core import PromptPair, TextError, child, register_task

from .pack import TextTokenizer

_NOUNS = ("war", "dispute", "project", "voyage", "reign", "construction")
_CENTURIES = ("16", "17", "18")
_PROMPT = "The {noun} lasted from the year {century}{start} to the year {century}"


class _Answers(NamedTuple):
    target: str
    foil: str
    later: tuple[str, ...]
    earlier: tuple[str, ...]


@register_task(
    "greater-than", "an end that lies after the start: later years minus earlier ones", metric="probability difference"
)
def greater_than(tokenizer: TextTokenizer, count: int, seed: int) -> Sequence[PromptPair]:
    """Every later year is right, every earlier one wrong; the corrupted twin starts in the year 01.

    Tokenizers that split years into digits are asked for the tens digit, of which the start's own decides nothing;
    those with tokens of two digits for the whole year, of which the start's own is wrong, as in the paper.
    """
    draw = random.Random(child(seed, "greater-than"))
    prompts = []
    for _ in range(count):
        noun, century = draw.choice(_NOUNS), draw.choice(_CENTURIES)
        tens, ones = draw.randint(2, 7), draw.randint(0, 9)
        prompt, corrupted = (
            _PROMPT.format(noun=noun, century=century, start=start) for start in (f"{tens}{ones}", "01")
        )
        whole = _two_digits(tokenizer, prompt, corrupted, century)
        found = _years(tokenizer, 10 * tens + ones) if whole else _digits(tens)
        prompts.append(PromptPair(prompt, found.target, found.foil, "", corrupted, found.later, found.earlier))
    return prompts


def _two_digits(tokenizer: TextTokenizer, prompt: str, corrupted: str, century: str) -> bool:
    """Whether a century is one token and the year in it another, at the start and at the end."""
    try:
        end = tokenizer.encode(prompt)
        starts = [tokenizer.encode(text.split(" to the")[0]) for text in (prompt, corrupted)]
        before = tokenizer.encode(prompt.split(f" {century}")[0] + f" {century}")
        return tokenizer.encode(f"{prompt}45") == [*end, *tokenizer.encode("45")] and all(
            ids[: len(before)] == before and len(ids) == len(before) + 1 for ids in starts
        )
    except TextError:
        return False


def _digits(tens: int) -> _Answers:
    """The start's own digit is on neither side."""
    later, earlier = (tuple(map(str, digits)) for digits in (range(tens + 1, 10), range(tens)))
    return _Answers(str(tens + 2), str(tens - 2), later, earlier)


def _years(tokenizer: TextTokenizer, start: int) -> _Answers:
    """The start's own year counts as wrong."""
    known = [year for year in range(2, 99) if len(tokenizer.encode(f"{year:02d}")) == 1]
    later, earlier = ([f"{y:02d}" for y in known if y > start], [f"{y:02d}" for y in known if y <= start])
    return _Answers(later[len(later) // 2], earlier[len(earlier) // 2], tuple(later), tuple(earlier))
