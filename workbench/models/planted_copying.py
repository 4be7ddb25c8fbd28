"""Planted circuits of attention heads alone: induction, duplicate tokens, a small indirect-object circuit."""

import random

from .planted_program import Components, Head, Match, Sentence, Voice, rest, words


def induction(voice: Voice) -> Components:
    """A previous-token head, then a head that looks for the word after the asking word's last appearance."""
    copy = tuple(zip(words(voice.words), voice.names("before"), strict=True))
    find = tuple(Match((word,), (before,)) for word, before in copy)
    say = tuple(zip(words(voice.words), voice.names("say"), strict=True))
    return Components((Head("previous", 0, copy, previous=True), Head("induction", 1, say, (*find, rest()))))


INDUCTION_EDGES = (
    "input->{previous}<v>",
    "{previous}->{induction}<k>",
    "input->{induction}<q>",
    "input->{induction}<v>",
    "{induction}->logits",
)


def induction_sentence(voice: Voice, choice: tuple[str, ...], draw: random.Random) -> Sentence:
    """`a b ... a` goes on with b."""
    first, second = draw.sample(choice, 2)
    return Sentence(((first, second), (first,)), second)


def duplicate(voice: Voice) -> Components:
    """A head that notes what it has seen before, then one that fetches the note."""
    note = voice.names("again")
    say = tuple(zip(note, voice.names("say"), strict=True))
    fetch = Head("fetching", 1, say, (Match(words((voice.marker,)), note), rest()))
    return Components((_duplicate_head(voice), fetch))


DUPLICATE_EDGES = (
    "input->{duplicate}<q>",
    "input->{duplicate}<k>",
    "input->{duplicate}<v>",
    "{duplicate}->{fetching}<k>",
    "{duplicate}->{fetching}<v>",
    "{fetching}->logits",
)


def duplicate_sentence(voice: Voice, choice: tuple[str, ...], draw: random.Random) -> Sentence:
    """`a b a to` or `b a a to` goes on with a."""
    twice, once = draw.sample(choice, 2)
    return Sentence((*_shuffled(draw, twice, once), (twice,), (voice.marker,)), twice)


def indirect_object(voice: Voice) -> Components:
    """As in GPT-2: a duplicate-token head, one that inhibits what was repeated, one that moves the name left over."""
    ask, note, inhibited = words((voice.marker,)), voice.names("again"), voice.names("not")
    inhibit = Head("inhibiting", 1, tuple(zip(note, inhibited, strict=True)), (Match(ask, note), rest()))
    avoid = (Match((no,), (word,), -1.0) for no, word in zip(inhibited, words(voice.words), strict=True))
    say = tuple(zip(words(voice.words), voice.names("say"), strict=True))
    move = Head("moving", 2, say, (Match(ask, words(voice.words)), *avoid, rest()))
    return Components((_duplicate_head(voice), inhibit, move))


INDIRECT_OBJECT_EDGES = (
    "input->{duplicate}<q>",
    "input->{duplicate}<k>",
    "input->{duplicate}<v>",
    "{duplicate}->{inhibiting}<k>",
    "{duplicate}->{inhibiting}<v>",
    "{inhibiting}->{moving}<q>",
    "input->{moving}<k>",
    "input->{moving}<v>",
    "{moving}->logits",
)


def indirect_object_sentence(voice: Voice, choice: tuple[str, ...], draw: random.Random) -> Sentence:
    """`a b b to` or `b a b to` goes on with a; b is the foil."""
    once, twice = draw.sample(choice, 2)
    return Sentence((*_shuffled(draw, once, twice), (twice,), (voice.marker,)), once, twice)


def _duplicate_head(voice: Voice) -> Head:
    """Look for the same word, but not here; write which it was."""
    same = (Match((word,), (word,)) for word in words(voice.words))
    moves = tuple(zip(words(voice.words), voice.names("again"), strict=True))
    return Head("duplicate", 0, moves, (*same, Match(("here",), ("here",), -1.0), rest()))


def _shuffled(draw: random.Random, *names: str) -> list[tuple[str]]:
    return [(name,) for name in draw.sample(names, len(names))]
