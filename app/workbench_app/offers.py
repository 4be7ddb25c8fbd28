"""The models that the app offers, and prompts to begin with."""

from dataclasses import dataclass
from typing import Any

from workbench.workspace import cache_folder

from .inside import check_text

MAIN = "smollm2-135m-instruct-q4"
EXAMPLES = {
    "planted-places": (
        "the man from north korea saw a big dog and said the capital",
        "a small cat went to east timor and the river",
        "the woman from west dakota was with a young horse and the capital",
    ),
    "tiny-sentences": (
        "When Clara and David went to the garden , David gave a book to",
        "When Emma and Frank went to the library , Frank gave a letter to",
        "When David and Grace went to the store , Grace was sad with the",
    ),
    "tiny-wikipedia": (
        "He was born in the United",
        "The city is located in the north of the",
        "In 1945, the United States",
    ),
    "": (
        "When Mary and John went to the store, John gave a drink to",
        "The capital of France is",
        "one two three four one two three",
    ),
}

TEXTS = {"planted-places": "synthetic-places", "tiny-sentences": "synthetic-sentences"}


@dataclass(frozen=True)
class Offer:
    """A model that `load_model` knows by name, and whether it is at hand."""

    name: str
    about: str
    where: str


def known() -> tuple[Offer, ...]:
    """The known models: what is at hand first."""
    from workbench.models import known_models

    offers = []
    for model in known_models():
        here = "built in" if model.source == "built-in" else "cached" if _cached(model.name) else "to download"
        about = f"{model.family}, {model.parameters:.3g} M parameters, {model.licence}"
        offers.append(Offer(model.name, f"{about}{'; ' if model.note else ''}{model.note}", here))
    return tuple(sorted(offers, key=lambda offer: offer.where == "to download"))


def default_model() -> str:
    """The main model if it is in the cache, else a built-in one that needs nothing."""
    return MAIN if _cached(MAIN) else next((offer.name for offer in known() if offer.where == "built in"), MAIN)


def examples(model: str) -> tuple[str, ...]:
    """Prompts that suit a model."""
    return EXAMPLES.get(model, EXAMPLES[""])


def default_text(model: str) -> str:
    """A text that suits a model."""
    return TEXTS.get(model, "wikipedia-sample")


def packed_text(model: Any, text: str, length: int = 128) -> Any:
    """A text by name in sequences of a loaded model (PackedText), no longer than its context."""
    from workbench.data import PackConfig, open_text, pack

    check_text(text)
    settings = PackConfig(sequence_length=min(length, model.shape.n_ctx))
    return pack(open_text(text), model.tokenizer, settings, model.policy)


def _cached(name: str) -> bool:
    return (cache_folder() / "models" / name / "manifest.json").exists()
