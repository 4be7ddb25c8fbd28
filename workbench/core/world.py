"""The little language of places: pure data that the planted model and its synthetic text share.

A place is named by two words and asking about it takes both: `the man from north korea said the capital`
goes on with `cap-north-korea`. Sizes and animals (`big dog`) have the same form and no question.
"""

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
