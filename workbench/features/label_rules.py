"""Rules about a token and its neighbours, and on which tokens of a text each holds."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int
from scipy import sparse

Array = np.ndarray
CLASSES: dict[str, Callable[[str], bool]] = {
    "numbers": lambda token: any(map(str.isdigit, token)),
    "punctuation": lambda token: bool(token.strip()) and not any(map(str.isalnum, token)),
    "capitalised words": lambda token: token.strip()[:1].isupper(),
    "words in capitals": lambda token: len(token.strip()) > 1 and token.strip().isupper(),
    "line breaks": lambda token: "\n" in token,
    "pieces inside words": lambda token: token[:1].isalpha(),
    "single letters": lambda token: len(token.strip()) == 1 and token.strip().isalpha(),
}


@dataclass(frozen=True, order=True)
class Rule:
    """One statement about a token: its kind and the words it is about.

    Kinds: token, word (case and space aside), beginning, ending, class, after, after class, before, pair (before it,
    itself), position, repeated.
    """

    kind: str
    words: tuple[str, ...] = ()

    def holds(self, tokens: Sequence[str], at: int) -> bool:
        """Whether it is true of the token at a place of a sequence."""
        return self in rules_at(tokens, at)

    @property
    def pattern(self) -> str:
        """A regular expression of the token, "" for kinds that are none."""
        own = re.escape(self.words[-1]) if self.words else ""
        if self.kind == "token":
            return own
        if self.kind == "word":
            return rf"(?i:\b{own}\b)"
        if self.kind == "beginning":
            return rf"\b(?i:{own})\w*"
        if self.kind == "ending":
            return rf"\w*(?i:{own})\b"
        return rf"(?<={re.escape(self.words[0])}){own}" if self.kind == "pair" else ""


def token_rules(token: str) -> list[Rule]:
    """Rules about a token alone."""
    word = token.strip().lower()
    found = [Rule("token", (token,))]
    found += [Rule("class", (name,)) for name, holds in CLASSES.items() if holds(token)]
    if word.isalpha():
        found.append(Rule("word", (word,)))
        found += [Rule("ending", (word[-size:],)) for size in (2, 3, 4) if len(word) >= size + 2]
        found += [Rule("beginning", (word[:size],)) for size in (3, 4) if len(word) >= size + 2]
    return found


def previous_rules(token: str) -> list[Rule]:
    """Rules about the token before."""
    found = [Rule("after", (token,))]
    return found + [Rule("after class", (name,)) for name, holds in CLASSES.items() if holds(token)]


def rules_at(tokens: Sequence[str], at: int) -> list[Rule]:
    """Every rule that holds at a place."""
    found = token_rules(tokens[at])
    if at:
        found += [*previous_rules(tokens[at - 1]), Rule("pair", (tokens[at - 1], tokens[at]))]
    if at + 1 < len(tokens):
        found.append(Rule("before", (tokens[at + 1],)))
    if at < len(POSITIONS):
        found.append(Rule("position", (str(at),)))
    if tokens[at] in tokens[:at]:
        found.append(Rule("repeated"))
    return found


POSITIONS = range(4)


def describe(rules: Sequence[Rule]) -> str:
    """A label in words."""
    phrases = {
        "token": "the token{s} {w}",
        "word": "the word{s} {w} in any case",
        "beginning": "words that begin with {w}",
        "ending": "words that end in {w}",
        "class": "{p}",
        "after": "after {w}",
        "after class": "after {p}",
        "before": "before {w}",
        "position": "position {p}",
        "repeated": "tokens that occurred before",
    }
    parts = []
    for kind in dict.fromkeys(rule.kind for rule in rules):
        mine = [rule for rule in rules if rule.kind == kind]
        if kind == "pair":
            parts += [f"{_quoted(rule.words[1])} after {_quoted(rule.words[0])}" for rule in mine]
            continue
        words = [rule.words[0] for rule in mine if rule.words]
        shown = {"w": ", ".join(map(_quoted, words)), "p": " or ".join(words), "s": "s" * (len(mine) > 1)}
        parts.append(phrases[kind].format(**shown))
    return "; or ".join(parts)


def _quoted(word: str) -> str:
    return "'" + word.replace("\n", "\\n") + "'"


def join_patterns(rules: Sequence[Rule]) -> str:
    """One expression with one capture group, "" where some rule is none."""
    found = [rule.pattern for rule in rules]
    return f"({'|'.join(found)})" if found and all(found) else ""


@dataclass(frozen=True)
class RuleTable:
    """Rules with the rows on which they hold.

    Attributes:
        holds: [rows, rules].
    """

    rules: list[Rule]
    holds: sparse.csr_matrix


def rule_table(
    ids: Int[Array, "s t"],
    lengths: Int[Array, " s"],
    kept: Bool[Array, "s t"],
    strings: Callable[[list[int]], list[str]],
) -> RuleTable:
    """All rules of the kept tokens of some sequences; rows in the order of `kept.nonzero()`."""
    vocabulary, place = np.unique(ids, return_inverse=True)
    place = place.reshape(ids.shape)
    names = strings(vocabulary.tolist())
    sequence, position = kept.nonzero()
    here = place[sequence, position]
    nothing = len(vocabulary)
    before = np.where(position > 0, place[sequence, np.maximum(position - 1, 0)], nothing)
    later = np.minimum(position + 1, ids.shape[1] - 1)
    after = np.where(position + 1 < lengths[sequence], place[sequence, later], nothing)
    columns: dict[Rule, int] = {}
    parts = [
        _by_token([token_rules(name) for name in names], here, columns),
        _by_token([*map(previous_rules, names), []], before, columns),
        _by_token([*([Rule("before", (name,))] for name in names), []], after, columns),
        _pairs(names, before, here, nothing, columns),
        _by_token(
            [[Rule("position", (str(n),))] for n in POSITIONS] + [[]], np.minimum(position, len(POSITIONS)), columns
        ),
        _by_token([[], [Rule("repeated")]], _repeated(place, sequence, position), columns),
    ]
    whole = sum(sparse.csr_matrix((p.data, p.indices, p.indptr), shape=(len(here), len(columns))) for p in parts)
    return RuleTable(list(columns), sparse.csr_matrix(whole))


def _by_token(rules: list[list[Rule]], which: Int[Array, " n"], columns: dict[Rule, int]) -> sparse.csr_matrix:
    """Rows of a table that has one row for each token."""
    index = [[columns.setdefault(rule, len(columns)) for rule in own] for own in rules]
    ends = np.cumsum([0, *map(len, index)])
    flat = np.array([column for own in index for column in own], dtype=np.int32)
    table = sparse.csr_matrix((np.ones(len(flat), np.float32), flat, ends), shape=(len(rules), len(columns)))
    return table[which]


def _pairs(
    names: list[str], before: Int[Array, " n"], here: Int[Array, " n"], nothing: int, columns: dict[Rule, int]
) -> sparse.csr_matrix:
    """Pairs of neighbours that occur more than once."""
    code = before.astype(np.int64) * (nothing + 1) + here
    found, which, count = np.unique(code, return_inverse=True, return_counts=True)
    rules: list[list[Rule]] = []
    for value, often in zip(found.tolist(), count.tolist(), strict=True):
        first, second = divmod(value, nothing + 1)
        rules.append([Rule("pair", (names[first], names[second]))] if often > 1 and first != nothing else [])
    return _by_token(rules, which, columns)


def _repeated(place: Int[Array, "s t"], sequence: Int[Array, " n"], position: Int[Array, " n"]) -> Int[Array, " n"]:
    seen = np.zeros(place.shape, dtype=int)
    for row, tokens in enumerate(place):
        first = np.unique(tokens, return_index=True)[1]
        seen[row] = 1
        seen[row, first] = 0
    return seen[sequence, position]
