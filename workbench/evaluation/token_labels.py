"""Labels that the tokens themselves decide, so that probing needs nobody's annotation."""

from collections.abc import Callable, Sequence

Label = Callable[[Sequence[str], int], bool]


def _inside_parentheses(tokens: Sequence[str], at: int) -> bool:
    depth = 0
    for token in tokens[: at + 1]:
        depth = max(0, depth + token.count("(") - token.count(")"))
    return depth > 0


def _starts_sentence(tokens: Sequence[str], at: int) -> bool:
    return at > 0 and tokens[at - 1].strip()[-1:] in (".", "!", "?") and tokens[at].strip()[:1].isupper()


def _inside_word(tokens: Sequence[str], at: int) -> bool:
    return tokens[at][:1].isalpha() and at > 0 and tokens[at - 1][-1:].isalpha()


TOKEN_LABELS: dict[str, Label] = {
    "capitalised": lambda tokens, at: tokens[at].strip()[:1].isupper(),
    "digit": lambda tokens, at: any(character.isdigit() for character in tokens[at]),
    "punctuation": lambda tokens, at: bool(tokens[at].strip()) and not any(map(str.isalnum, tokens[at])),
    "inside a word": _inside_word,
    "after a comma": lambda tokens, at: at > 0 and tokens[at - 1].strip().endswith(","),
    "starts a sentence": _starts_sentence,
    "inside parentheses": _inside_parentheses,
    "after `the`": lambda tokens, at: at > 0 and tokens[at - 1].strip().lower() == "the",
    "plural or verb in -s": lambda tokens, at: len(tokens[at].strip()) > 3 and tokens[at].strip().endswith("s"),
}
"""Name -> whether it holds of the token at a place of a sequence."""
