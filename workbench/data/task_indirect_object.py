"""Indirect object: two people, one acts, the other receives (Wang et al. 2022, arXiv 2211.00593)."""

import random
from collections.abc import Sequence

from workbench.core import PromptPair, TextError, child, register_task

from .pack import TextTokenizer
from .task_words import MEN, WOMEN, single_tokens

_TEMPLATES = (
    "When {a} and {b} went to the {place}, {giver} gave a {thing} to",
    "When {b} and {a} went to the {place}, {giver} gave a {thing} to",
    "After {a} and {b} had been at the {place} for an hour, {giver} handed a {thing} to",
    "While {b} and {a} were working at the {place}, {giver} decided to give a {thing} to",
    "Yesterday {a} and {b} met at the {place}. Then {giver} showed a {thing} to",
)
_PLACES = ("store", "park", "school", "office", "station", "restaurant")
_THINGS = ("drink", "book", "letter", "ring", "key", "ball")


@register_task("indirect-object", "the one of two named people who receives")
def indirect_object(tokenizer: TextTokenizer, count: int, seed: int) -> Sequence[PromptPair]:
    """Any two names."""
    return _make(tokenizer, count, seed, [(*WOMEN, *MEN)])


@register_task("indirect-object-one-gender", "the same with two names of one gender")
def indirect_object_one_gender(tokenizer: TextTokenizer, count: int, seed: int) -> Sequence[PromptPair]:
    """The control: both names have one gender, so gender cannot tell them apart."""
    return _make(tokenizer, count, seed, [WOMEN, MEN])


def _make(tokenizer: TextTokenizer, count: int, seed: int, groups: Sequence[Sequence[str]]) -> Sequence[PromptPair]:
    """`groups` are the names that go together; the corrupted twin lets a third person act, so no name repeats."""
    draw = random.Random(child(seed, "indirect-object", len(groups)))
    third = random.Random(child(seed, "indirect-object", "third"))
    names = [single_tokens(tokenizer, group, 0, "indirect-object") for group in groups]
    usable = [found for found in names if len(found) > 1]
    if not usable:
        raise TextError("the indirect-object task needs two names that are single tokens", found="none")
    prompts = []
    for number in range(count):
        group = draw.choice(usable)
        a, b = draw.sample(group, 2)
        words = {"a": a, "b": b, "place": draw.choice(_PLACES), "thing": draw.choice(_THINGS)}
        template = _TEMPLATES[number % len(_TEMPLATES)]
        others = [name for name in group if name not in (a, b)]
        corrupted = template.format(giver=third.choice(others), **words) if others else ""
        pair = PromptPair(template.format(giver=b, **words), f" {a}", f" {b}", _genders(a, b), corrupted)
        prompts.append(pair)
    return prompts


def _genders(a: str, b: str) -> str:
    return "names of one gender" if (a in WOMEN) == (b in WOMEN) else "names of two genders"
