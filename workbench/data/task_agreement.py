"""Subject-verb agreement across a noun that does not decide it (Linzen et al. 2016, arXiv 1611.01368)."""

import random
from collections.abc import Sequence

from workbench.core import PromptPair, TextError, child, register_task

from .pack import TextTokenizer
from .task_words import single_tokens

_NOUNS = {
    "key": "keys", "teacher": "teachers", "dog": "dogs", "car": "cars", "doctor": "doctors", "picture": "pictures",
    "student": "students", "house": "houses", "tree": "trees", "book": "books", "king": "kings", "boy": "boys",
    "girl": "girls", "bird": "birds", "table": "tables", "soldier": "soldiers", "road": "roads", "letter": "letters",
}  # fmt: skip
_LINKS = ("near", "behind", "next to", "in front of", "with")
_SINGULAR, _PLURAL = (" is", " was", " has"), (" are", " were", " have")


@register_task("agreement", "a verb that agrees with its subject, not with the noun in between")
def agreement(tokenizer: TextTokenizer, count: int, seed: int) -> Sequence[PromptPair]:
    """The noun in between has the other number in half of the prompts; the corrupted twin's subject has."""
    draw = random.Random(child(seed, "agreement"))
    singulars = single_tokens(tokenizer, _NOUNS, 2, "agreement")
    plurals = set(single_tokens(tokenizer, _NOUNS.values(), 2, "agreement"))
    usable = [noun for noun in singulars if _NOUNS[noun] in plurals]
    if len(usable) < 2:
        raise TextError("the agreement task needs two nouns that are single tokens in both numbers", found="fewer")
    prompts = []
    for number in range(count):
        subject, between = draw.sample(usable, 2)
        plural, attracts = bool(number % 2), bool(number // 2 % 2)
        forms = (_NOUNS[subject], subject) if plural else (subject, _NOUNS[subject])
        other = _NOUNS[between] if plural != attracts else between
        link = draw.choice(_LINKS)
        prompt, corrupted = (f"The {form} {link} the {other}" for form in forms)
        right, wrong = (_PLURAL, _SINGULAR) if plural else (_SINGULAR, _PLURAL)
        note = "the noun in between has the other number" if attracts else "both nouns have one number"
        prompts.append(PromptPair(prompt, right[0], wrong[0], note, corrupted, right, wrong))
    return prompts
