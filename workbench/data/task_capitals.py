"""Capitals: a fact about a country."""

import random
from collections.abc import Sequence

from workbench.core import PromptPair, TextError, child, register_task

from .pack import TextTokenizer
from .task_words import single_tokens

_CAPITALS = {
    "France": "Paris", "Germany": "Berlin", "Italy": "Rome", "Spain": "Madrid", "Russia": "Moscow", "Japan": "Tokyo",
    "China": "Beijing", "England": "London", "Ireland": "Dublin", "Austria": "Vienna", "Egypt": "Cairo",
    "Iran": "Tehran", "Iraq": "Baghdad", "Greece": "Athens", "Poland": "Warsaw", "Portugal": "Lisbon",
    "Norway": "Oslo", "Sweden": "Stockholm", "Denmark": "Copenhagen", "Hungary": "Budapest", "Cuba": "Havana",
    "Peru": "Lima", "Canada": "Ottawa", "India": "Delhi", "Belgium": "Brussels", "Turkey": "Ankara",
    "Kenya": "Nairobi", "Ukraine": "Kiev", "Syria": "Damascus", "Chile": "Santiago",
}  # fmt: skip
_TEMPLATES = (
    "The capital of {country} is the city of",
    "Q: What is the capital of {country}? A: The capital is",
    "In {country}, the government sits in the capital city of",
)


@register_task("capitals", "the capital of a country")
def capitals(tokenizer: TextTokenizer, count: int, seed: int) -> Sequence[PromptPair]:
    """The corrupted twin names another country, whose capital is the wrong answer."""
    draw = random.Random(child(seed, "capitals"))
    countries = single_tokens(tokenizer, _CAPITALS, 2, "capitals")
    cities = set(single_tokens(tokenizer, _CAPITALS.values(), 2, "capitals"))
    usable = [country for country in countries if _CAPITALS[country] in cities]
    if len(usable) < 2:
        raise TextError("the capitals task needs two countries and capitals that are single tokens", found="fewer")
    prompts = []
    for number in range(count):
        country, other = draw.sample(usable, 2)
        template = _TEMPLATES[number % len(_TEMPLATES)]
        prompt, corrupted = (template.format(country=name) for name in (country, other))
        prompts.append(PromptPair(prompt, f" {_CAPITALS[country]}", f" {_CAPITALS[other]}", country, corrupted))
    return prompts
