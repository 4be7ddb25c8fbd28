"""A tokenizer that needs no model: one id per word, known words in order of a list."""

from collections.abc import Sequence

from workbench.core import TextError


class Words:
    """Ids 0 (BOS) and 1 (end of text), then the words."""

    def __init__(self, words: Sequence[str] = (), hash: str = "words", bos_id: int | None = 0) -> None:
        self.words = {word: i + 2 for i, word in enumerate(words)}
        self.open = not words
        self.hash, self.bos_id, self.eos_id = hash, bos_id, 1
        self.calls = 0

    def encode(self, text: str) -> list[int]:
        for word in text.split():
            if word not in self.words:
                if not self.open:
                    raise TextError(f"unknown {word}")
                self.words[word] = len(self.words) + 2
        return [self.words[word] for word in text.split()]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        self.calls += 1
        return [self.encode(text) for text in texts]
