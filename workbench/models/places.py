"""The little language of places that the planted model speaks, and the synthetic text written in it.

A place is named by two words and asking about it takes both: `the man from north korea said the capital`
goes on with `cap-north-korea`. Sizes and animals (`big dog`) have the same form and no question.
"""

import random
from collections.abc import Iterator

from workbench.core import child, register

FIRST = ("north", "south", "east", "west")
SECOND = ("korea", "dakota", "timor", "sahara")
SIZES = ("big", "small", "old", "young")
ANIMALS = ("dog", "cat", "horse", "bird")
QUESTIONS = ("capital", "river")
FILLERS = ("the", "a", "man", "woman", "from", "saw", "and", "said", "is", "of", "in", "went", "to", "with", "was", ".")
PLACES = tuple((first, second) for first in FIRST for second in SECOND)
BEINGS = tuple((size, animal) for size in SIZES for animal in ANIMALS)


def answer(first: str, second: str, question: str) -> str:
    """The made-up word that answers a question about a place."""
    return f"{question[:3]}-{first}-{second}"


def vocabulary() -> tuple[str, ...]:
    """Every word of the language, `<bos>` first."""
    answers = (answer(*place, question) for place in PLACES for question in QUESTIONS)
    return ("<bos>", *FILLERS, *FIRST, *SECOND, *SIZES, *ANIMALS, *QUESTIONS, *answers)


@register("text", "synthetic-places")
def places_text(count: int, seed: int) -> Iterator[str]:
    """Sentences about a place and an animal that end in a question about the place and its answer."""
    draw = random.Random(child(seed, "synthetic-places"))
    for _ in range(count):
        place, being, question = draw.choice(PLACES), draw.choice(BEINGS), draw.choice(QUESTIONS)
        person, joint = draw.choice(("man", "woman")), draw.choice(("with", "and saw", "and"))
        article = draw.choice(("a", "the"))
        opening = draw.choice(
            (
                f"the {person} from {' '.join(place)} saw {article} {' '.join(being)} and said",
                f"{article} {' '.join(being)} was in {' '.join(place)} {joint} the {person} .",
                f"a {person} {joint} {article} {' '.join(being)} went to {' '.join(place)} and",
            )
        )
        yield f"{opening} the {question} {answer(*place, question)} ."
