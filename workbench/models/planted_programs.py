"""Which circuits are planted, and the prompts that speak to them and to every distractor at once."""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from workbench.core import METRICS, ConfigError, PromptPair, child, nearest

from .planted_copying import (
    DUPLICATE_EDGES,
    INDIRECT_OBJECT_EDGES,
    INDUCTION_EDGES,
    duplicate,
    duplicate_sentence,
    indirect_object,
    indirect_object_sentence,
    induction,
    induction_sentence,
)
from .planted_lookup import (
    GREATER_THAN_EDGES,
    LOOKUP_EDGES,
    TWO_HOP_EDGES,
    greater_than,
    greater_than_sentence,
    lookup,
    lookup_answers,
    lookup_sentence,
    two_hop,
    two_hop_answers,
    two_hop_sentence,
)
from .planted_program import BOS, Components, Sentence, Voice

_PEOPLE = ("alice", "bob", "carol", "david", "emma", "frank", "grace", "henry", "irene", "jack")
_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_ANIMALS = ("ant", "bear", "cat", "dog", "eagle", "fox", "goat", "hare", "ibis", "jay")
_PLANTS = ("aloe", "birch", "clover", "daisy", "elm", "fern", "grass", "holly", "ivy", "kale")
_METALS = ("zinc", "brass", "copper", "steel", "gold", "iron", "lead", "nickel", "silver", "tin")
_OTHERS = (
    Voice("animal ", _ANIMALS, "at", ("eats", "sings")),
    Voice("plant ", _PLANTS, "by", ("blooms", "smells")),
    Voice("metal ", _METALS, "on", ("weighs", "shines")),
)


@dataclass(frozen=True)
class Program:
    """A circuit to plant.

    Attributes:
        build: the components that one copy of it needs.
        edges: the circuit's edges, with the roles of heads in braces: those through which the difference between a
            prompt and its corrupted twin reaches the answer.
        answers: words of the vocabulary beyond those of the copies.
        asked: the words of clean prompts and those of corrupted ones, as ranges of the circuit's own.
    """

    build: Callable[[Voice], Components]
    sentence: Callable[[Voice, tuple[str, ...], random.Random], Sentence]
    edges: tuple[str, ...]
    layers: int
    about: str
    family: str = "gpt2"
    answers: Callable[[Voice], tuple[str, ...]] = lambda voice: ()
    words: tuple[str, ...] = _PEOPLE
    asked: tuple[slice, slice] = (slice(0, 5), slice(5, 10))
    metric: str = METRICS[0]

    @property
    def voice(self) -> Voice:
        """The circuit's own words."""
        return Voice("", self.words, "to", ("likes", "hates"))


_INDUCTION = Program(
    induction, induction_sentence, INDUCTION_EDGES, 2, "what followed a word follows it again: two heads"
)
_LOOKUP = Program(
    lookup,
    lookup_sentence,
    LOOKUP_EDGES,
    2,
    "the answer to a subject and a relation: a head and an MLP",
    answers=lookup_answers,
)
PROGRAMS: dict[str, Program] = {
    "induction": _INDUCTION,
    "duplicate": Program(
        duplicate, duplicate_sentence, DUPLICATE_EDGES, 2, "the word that came twice: two heads"
    ),
    "indirect-object": Program(
        indirect_object, indirect_object_sentence, INDIRECT_OBJECT_EDGES, 3, "the name that came once: three heads"
    ),
    "lookup": _LOOKUP,
    "two-hop": Program(
        two_hop, two_hop_sentence, TWO_HOP_EDGES, 3, "the name of a word's kind: an MLP, a head, an MLP",
        answers=two_hop_answers,
    ),
    "greater-than": Program(
        greater_than, greater_than_sentence, GREATER_THAN_EDGES, 2, "any later number: a head and an MLP",
        words=_NUMBERS, asked=(slice(4, 9), slice(0, 2)), metric=METRICS[1],
    ),
    "induction-llama": replace(_INDUCTION, family="llama"),
    "lookup-llama": replace(_LOOKUP, family="llama"),
}  # fmt: skip
"""Name (without `planted-`) -> program."""


def planted_prompts(name: str, count: int, seed: int = 0) -> tuple[PromptPair, ...]:
    """Prompts of a planted model's task; the note names the neurons that the answer runs through.

    Raises:
        ConfigError: no such program.
    """
    program = find_program(name)
    draw = random.Random(child(seed, "planted", name.removeprefix("planted-")))
    pairs = []
    while len(pairs) < count:
        (clean, places), (corrupted, others) = (_prompt(program, asked, draw) for asked in program.asked)
        if len(places) > 1 and places[:-1] == others[:-1]:
            continue  # the difference has to reach the keys, too
        clean_text, sentence = clean
        corrupted_text, other = corrupted
        pairs.append(
            PromptPair(
                clean_text,
                f" {sentence.answer}",
                f" {sentence.foil or other.answer}",
                ", ".join(sentence.neurons),
                corrupted_text,
                tuple(f" {word}" for word in sentence.right),
                tuple(f" {word}" for word in sentence.wrong),
            )
        )
    return tuple(pairs)


def find_program(name: str) -> Program:
    """The program of that name, with or without `planted-`.

    Raises:
        ConfigError: there is none.
    """
    short = name.removeprefix("planted-")
    if short not in PROGRAMS:
        raise ConfigError(f"no planted circuit {name!r}", hint=nearest(short, PROGRAMS))
    return PROGRAMS[short]


def vocabulary_of(program: Program) -> tuple[str, ...]:
    """Every word of a model that runs a program, BOS first."""
    voices = (program.voice, *_OTHERS)
    found = [BOS, *(word for voice in voices for word in (*voice.words, voice.marker, *voice.relations))]
    return tuple(dict.fromkeys([*found, *program.answers(program.voice)]))


def distractor_voices(program: Program, echo: bool) -> tuple[Voice, ...]:
    """What the distractors speak about: words of their own, or with `echo` the circuit's."""
    if not echo:
        return _OTHERS
    return tuple(replace(program.voice, tag=f"echo {voice.tag}") for voice in _OTHERS)


def _prompt(program: Program, asked: slice, draw: random.Random) -> tuple[tuple[str, Sentence], list[int]]:
    """A prompt that speaks to every copy, the circuit's question last, and where the circuit's words stand."""
    own = program.sentence(program.voice, program.words[asked], draw)
    rows = [list(own.units[:-1])] + [list(program.sentence(v, v.words, draw).units) for v in _OTHERS]
    turns = [number for number, row in enumerate(rows) for _ in row]
    draw.shuffle(turns)
    text: list[str] = []
    places: list[int] = []
    for turn in turns:
        unit = rows[turn].pop(0)
        if turn == 0:
            places += range(len(text), len(text) + len(unit))
        text += unit
    text += own.units[-1]
    return (" ".join(text), own), [*places, len(text) - 1]
