"""Planted circuits with MLPs: a lookup, a chain of two lookups, and greater-than."""

import random

from .planted_program import Components, Head, Match, Neuron, Sentence, Voice, rest, words


def lookup(voice: Voice) -> Components:
    """A head fetches the subject to the relation; one neuron per pair (subject AND relation) writes the answer."""
    ask = words(voice.relations)
    fetch = Head("fetching", 0, _moves(voice, "word", "subject"), (Match(ask, words(voice.words)), rest()))
    neurons = (
        Neuron(_pair(subject, relation), 1, (voice.name("subject", subject), f"word {relation}"), 1.5, (
            (voice.name("say", _pair(subject, relation)), 2.0),
        ))
        for subject in voice.words for relation in voice.relations
    )  # fmt: skip
    return Components((fetch,), tuple(neurons))


LOOKUP_EDGES = ("input->{fetching}<k>", "input->{fetching}<v>", "{fetching}->m1", "input->m1", "m1->logits")


def lookup_sentence(voice: Voice, choice: tuple[str, ...], draw: random.Random) -> Sentence:
    """`subject relation` goes on with `subject-relation`; the relation's place in the list goes with the half."""
    subject = draw.choice(choice)
    relations = _half(voice, choice, voice.relations)
    relation = draw.choice(relations)
    return Sentence(((subject,), (relation,)), _pair(subject, relation), neurons=(_pair(subject, relation),))


def lookup_answers(voice: Voice) -> tuple[str, ...]:
    """Every answer."""
    return tuple(_pair(subject, relation) for subject in voice.words for relation in voice.relations)


def two_hop(voice: Voice) -> Components:
    """Neurons map a word to its kind, a head fetches the kind, neurons map the kind to its name."""
    kinds = _kinds(voice)
    first = (
        Neuron(f"kind of {word}", 0, (f"word {word}",), 0.5, ((voice.name("kind", kind), 2.0),))
        for word, kind in kinds.items()
    )
    held = tuple(dict.fromkeys(kinds.values()))
    moves = tuple(zip(voice.names("kind", held), voice.names("asked", held), strict=True))
    fetch = Head("fetching", 1, moves, (Match(words((voice.marker,)), voice.names("kind", held)), rest()))
    second = (
        Neuron(f"name of {kind}", 1, (voice.name("asked", kind),), 0.5, ((voice.name("say", kind), 2.0),))
        for kind in held
    )
    return Components((fetch,), (*first, *second))


TWO_HOP_EDGES = ("input->m0", "m0->{fetching}<k>", "m0->{fetching}<v>", "{fetching}->m1", "m1->logits")


def two_hop_sentence(voice: Voice, choice: tuple[str, ...], draw: random.Random) -> Sentence:
    """`word to` goes on with the word's kind."""
    word = draw.choice(choice)
    kind = _kinds(voice)[word]
    return Sentence(((word,), (voice.marker,)), kind, neurons=(f"kind of {word}", f"name of {kind}"))


def two_hop_answers(voice: Voice) -> tuple[str, ...]:
    """Every answer."""
    return tuple(dict.fromkeys(_kinds(voice).values()))


def greater_than(voice: Voice) -> Components:
    """A head fetches the start; two neurons per number raise it above the start and lower it up to there."""
    fetch = Head("fetching", 0, _moves(voice, "word", "start"), (Match(_ask(voice), words(voice.words)), rest()))
    neurons = []
    for place, number in enumerate(voice.words):
        below, above = voice.names("start", voice.words[:place]), voice.names("start", voice.words[place:])
        said = voice.name("say", number)
        neurons.append(Neuron(f"above {number}", 1, above, 0.5, ((said, -1.0),)))
        if below:
            neurons.append(Neuron(f"below {number}", 1, below, 0.5, ((said, 1.0),)))
    return Components((fetch,), tuple(neurons))


GREATER_THAN_EDGES = ("input->{fetching}<k>", "input->{fetching}<v>", "{fetching}->m1", "m1->logits")


def greater_than_sentence(voice: Voice, choice: tuple[str, ...], draw: random.Random) -> Sentence:
    """`start to` goes on with anything later."""
    place = voice.words.index(draw.choice([word for word in choice if word != voice.words[-1]]))
    right, wrong = voice.words[place + 1 :], voice.words[: place + 1]
    neurons = (f"below {right[0]}", f"above {wrong[0]}")
    return Sentence(((voice.words[place],), (voice.marker,)), right[0], wrong[0], right, wrong, neurons)


def _ask(voice: Voice) -> tuple[str, ...]:
    return words((voice.marker,))


def _moves(voice: Voice, source: str, target: str) -> tuple[tuple[str, str], ...]:
    return tuple(zip(voice.names(source), voice.names(target), strict=True))


def _pair(subject: str, relation: str) -> str:
    return f"{subject}-{relation}"


def _kinds(voice: Voice) -> dict[str, str]:
    """Of every five words the first two are of one kind and the others of another."""
    first = (place - place % 5 + (0 if place % 5 < 2 else 2) for place in range(len(voice.words)))
    return {word: f"kind-of-{voice.words[place]}" for word, place in zip(voice.words, first, strict=True)}


def _half(voice: Voice, choice: tuple[str, ...], relations: tuple[str, ...]) -> tuple[str, ...]:
    """The relations of a half of the words; all of them where the words are not halved."""
    if len(choice) == len(voice.words):
        return relations
    return relations[:1] if choice[0] == voice.words[0] else relations[1:]
