"""Words that tasks are made of, held against the tokenizer in use."""

from collections.abc import Iterable

from workbench.core import TextError

from .pack import TextTokenizer

WOMEN = ("Mary", "Sarah", "Anna", "Emma", "Alice", "Jane", "Lucy", "Laura", "Kate", "Grace", "Clara", "Susan")
MEN = ("John", "Peter", "Tom", "James", "David", "Paul", "Mark", "Henry", "Frank", "Ben", "Daniel", "Robert")
_COMMON_WORDS = """
apple river stone green table music paper cloud horse window garden metal dream yellow bridge winter bread ocean
mirror engine forest silver pencil doctor planet tiger coffee shadow orange castle letter butter summer guitar
island pocket rabbit desert button flower market village basket candle ladder carpet hammer kitchen
"""
COMMON = tuple(_COMMON_WORDS.split())


def single_tokens(tokenizer: TextTokenizer, words: Iterable[str], least: int, task: str) -> list[str]:
    """The words that, with a leading space, are one known token.

    Raises:
        TextError: fewer than `least` are.
    """
    found = []
    for word in words:
        try:
            if len(tokenizer.encode(f" {word}")) == 1:
                found.append(word)
        except TextError:  # a tokenizer of whole words refuses the unknown
            continue
    if len(found) < least:
        raise TextError(
            f"the {task} task needs {least} of its words as single tokens",
            found=f"this tokenizer has {len(found) or 'none'}",
            hint="take another task, or write one as a file",
        )
    return found
