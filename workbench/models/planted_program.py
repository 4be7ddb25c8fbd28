"""The little language in which circuits are planted: heads that match and move, neurons that combine, by name.

The residual stream is a set of orthonormal directions with names: `word to`, `position 3`, `one` (always on), and
whatever variables a program makes. A program says which names each component reads and writes; `planted_compile`
turns it into the weights of a real model.
"""

from dataclasses import dataclass, field

ONE = "one"
BOS = "<bos>"


@dataclass(frozen=True)
class Match:
    """A term of an attention score: strength where the asking position holds a `query` and the other a `key`."""

    query: tuple[str, ...]
    key: tuple[str, ...]
    strength: float = 1.0


@dataclass(frozen=True)
class Head:
    """One attention head of a layer.

    Attributes:
        role: its name in the program; the head's number is drawn by the seed.
        matches: its scores, summed; positions without any rest on BOS.
        moves: (read there, written here).
        previous: attend to the position before instead.
    """

    role: str
    layer: int
    moves: tuple[tuple[str, str], ...]
    matches: tuple[Match, ...] = ()
    previous: bool = False


@dataclass(frozen=True)
class Neuron:
    """max(0, how many of `reads` are on - threshold) times each gain, written to each name."""

    name: str
    layer: int
    reads: tuple[str, ...]
    threshold: float
    writes: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Components:
    """What computes something: one circuit."""

    heads: tuple[Head, ...]
    neurons: tuple[Neuron, ...] = ()


@dataclass(frozen=True)
class Voice:
    """The words that one copy of a program is about, and the prefix of its variables; the circuit's own has none."""

    tag: str
    words: tuple[str, ...]
    marker: str
    relations: tuple[str, str]

    def names(self, variable: str, words: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """The variable of every word."""
        return tuple(self.name(variable, word) for word in (self.words if words is None else words))

    def name(self, variable: str, word: str) -> str:
        """A variable of this copy; `word` is the token itself, which all copies read."""
        return f"word {word}" if variable == "word" or not word else f"{self.tag}{variable} {word}"


@dataclass(frozen=True)
class Sentence:
    """What a prompt says to one copy of a program.

    Attributes:
        units: words that stay together, in order; the last one asks.
        answer, foil: "" for a foil that the other prompt of a pair gives.
        right, wrong: every right and wrong answer where there are several.
        neurons: names of the neurons through which answer and foil run.
    """

    units: tuple[tuple[str, ...], ...]
    answer: str
    foil: str = ""
    right: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()
    neurons: tuple[str, ...] = field(default=())


def rest(strength: float = 0.5) -> Match:
    """Without anything better, attend to BOS, where nothing is moved."""
    return Match((ONE,), (f"word {BOS}",), strength)


def words(names: tuple[str, ...]) -> tuple[str, ...]:
    """The directions of some tokens."""
    return tuple(f"word {name}" for name in names)
