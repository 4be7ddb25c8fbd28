"""Home's three examples: passes of built-in models, measured once and shipped, readable before a model is loaded.

From the root of a checkout this measures them anew:

    python -m workbench_app.precomputed > app/workbench_app/precomputed.json
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from typing import Any

PROMPTS = (
    ("tiny-sentences", "When Clara and David went to the garden , David gave a book to"),
    ("tiny-wikipedia", "He was born in the United"),
    ("planted-places", "the man from north korea saw a big dog and said the capital"),
)
"""Built-in model and prompt of each example."""
TOP = 5


@dataclass(frozen=True)
class Example:
    """One pass, as far as Home shows it.

    Attributes:
        surprise: -log p of each token in nats, None for the first.
        tops: for each position the likeliest next tokens with their probabilities.
        lens: for the last position the likeliest token read out after each layer (-1: the embedding).
    """

    model: str
    weight_hash: str
    prompt: str
    ids: tuple[int, ...]
    tokens: tuple[str, ...]
    special: tuple[bool, ...]
    surprise: tuple[float | None, ...]
    tops: tuple[tuple[tuple[str, float], ...], ...]
    lens: tuple[tuple[int, str, float], ...]

    @property
    def settled(self) -> int:
        """The layer from which on the lens reads the final answer."""
        answer, since = self.lens[-1][1], self.lens[-1][0]
        for layer, token, _ in reversed(self.lens):
            if token != answer:
                break
            since = layer
        return since


@cache
def examples() -> tuple[Example, ...]:
    """The examples that are shipped."""
    text = (files("workbench_app") / "precomputed.json").read_text(encoding="utf-8")
    return tuple(Example(**{name: _frozen(value) for name, value in item.items()}) for item in json.loads(text))


def measure(model: str, prompt: str) -> Example:
    """Run a prompt on a model, and read every layer out at its end."""
    from workbench.core import Silent

    from .analysis import read_pass
    from .shelf import Shelf

    shelf = Shelf()
    shelf.load(model, Silent())
    ids = shelf.encode(model, prompt, None)
    done, held = shelf.run(model, ids), shelf.get(model)
    read = read_pass(done, TOP)
    rows = [row for row in shelf.lens(model, ids, None).tables["lens"] if row["position"] == len(ids) - 1]
    return Example(
        model=model,
        weight_hash=held.ref.weight_hash,
        prompt=prompt,
        ids=ids,
        tokens=done.tokens,
        special=done.special,
        surprise=(None, *(_short(value) for value in read.surprise[1:])),
        tops=tuple(
            tuple(
                (held.tokenizer.strings([before, token])[1], _short(chance))
                for token, chance in zip(row, chances, strict=True)
            )
            for before, row, chances in zip(ids, read.top_ids, read.top_probabilities, strict=True)
        ),
        lens=tuple((row["layer"], row["top"], _short(row["top_probability"])) for row in rows),
    )


def as_json(found: Sequence[Example]) -> str:
    """The file's text: one example after the other, four significant digits."""
    return json.dumps([asdict(example) for example in found], ensure_ascii=False) + "\n"


def _short(value: float) -> float:
    return float(f"{value:.4g}")


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


if __name__ == "__main__":
    sys.stdout.write(as_json([measure(model, prompt) for model, prompt in PROMPTS]))
