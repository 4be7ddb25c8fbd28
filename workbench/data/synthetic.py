"""Synthetic text: made of a seed, for planted and tiny models and for tests.

A generator is a function (number of documents, seed) -> texts, registered as a `text` named `synthetic-...`;
rooms that may not import this one register theirs through the registry alone.
"""

import hashlib
import random
from collections.abc import Callable, Iterator

from workbench.core import TextError, child, get, register

from .corpus import Corpus, Document

Generator = Callable[[int, int], Iterator[str]]
_DOCUMENTS = 4096


def open_synthetic(name: str) -> Corpus:
    """`synthetic-name[:documents[:seed]]` as a corpus.

    Raises:
        ConfigError: no such generator. TextError: the numbers cannot be read.
    """
    kind, *numbers = name.split(":")
    if len(numbers) > 2 or not all(number.isdigit() for number in numbers):
        raise TextError(f"cannot read the text name {name!r}", hint=f"write {kind}:20000 or {kind}:20000:7")
    count, seed = (int(number) for number in (numbers + [_DOCUMENTS, 0][len(numbers) :]))
    make: Generator = get("text", kind)

    def read() -> Iterator[Document]:
        for number, text in enumerate(make(count, seed)):
            yield f"{kind}#{number}", text

    digest = hashlib.sha256()
    for identity, text in read():
        digest.update(f"{identity}\0{text}\0".encode())
    return Corpus(name, digest.hexdigest(), read, licence="CC0-1.0", source=f"generated from seed {seed}")


_NAMES = ("Alice", "Ben", "Clara", "David", "Emma", "Frank", "Grace", "Henry")
_PLACES = ("store", "park", "school", "station", "garden", "library")
_THINGS = ("book", "drink", "ring", "letter", "ball", "key")
_MOODS = ("happy", "sad", "tired", "proud")


@register("text", "synthetic-sentences")
def sentences(count: int, seed: int) -> Iterator[str]:
    """Little stories of two people, a place and a thing, in which earlier words decide later ones."""
    draw = random.Random(child(seed, "synthetic-sentences"))
    for _ in range(count):
        giver, taker = draw.sample(_NAMES, 2)
        place, thing, mood = draw.choice(_PLACES), draw.choice(_THINGS), draw.choice(_MOODS)
        first, second = draw.sample((giver, taker), 2)
        opening = f"When {first} and {second} went to the {place} , {giver} gave a {thing} to {taker} ."
        closing = f"Then {taker} was {mood} with the {thing} from the {place} ."
        yield f"{opening} {closing}" if draw.random() < 0.7 else opening
