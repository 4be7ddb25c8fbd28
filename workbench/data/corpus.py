"""Corpus: named text with a licence, read document by document."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

Document = tuple[str, str]


@dataclass(frozen=True)
class Corpus:
    """Text from somewhere.

    Attributes:
        name: what `open_text` was asked for.
        licence: named wherever a context of this text is shown.
        hash: sha256 over the source's bytes, so that what is cached belongs to this very text.
        read: a fresh iterator of (document id, text) at every call.
        source: where it came from, in words.
    """

    name: str
    hash: str
    read: Callable[[], Iterator[Document]]
    licence: str = "unknown"
    licence_url: str = ""
    source: str = ""

    def documents(self) -> Iterator[Document]:
        """Every (document id, text), in the same order each time."""
        return self.read()
