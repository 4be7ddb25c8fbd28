"""Tasks: prompts whose next token has a right and a wrong answer, and how well a model tells them apart."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch

from workbench.core import Result, TextError, child, get, register

from .pack import TextTokenizer

METRIC = "logit difference"


@dataclass(frozen=True)
class PromptPair:
    """A prompt, the next token that is right (target) and one that is wrong (foil), each with its leading space."""

    prompt: str
    target: str
    foil: str
    note: str = ""


@dataclass(frozen=True)
class Task:
    """Prompts of one kind; the metric is logit(target) - logit(foil) at the last position."""

    name: str
    prompts: tuple[PromptPair, ...]
    metric: str = METRIC
    seed: int = 0


Maker = Callable[[TextTokenizer, int, int], Sequence[PromptPair]]


@runtime_checkable
class TaskModel(Protocol):
    """What checking a task asks of a model."""

    @property
    def tokenizer(self) -> Any: ...
    @property
    def ref(self) -> Any: ...
    def tokens(self, text: Sequence[str]) -> Any: ...
    def run(self, tokens: Any) -> Any: ...


def make_task(name: str, tokenizer: TextTokenizer, count: int = 24, seed: int = 0) -> Task:
    """The prompts of a registered task, with answers that are single tokens of this tokenizer.

    Raises:
        ConfigError: no such task. TextError: the tokenizer lacks the words for it.
    """
    maker: Maker = get("task", name)
    prompts = tuple(maker(tokenizer, count, seed))
    for pair in prompts:
        answer_ids(tokenizer, pair)
    return Task(name, prompts, seed=seed)


def answer_ids(tokenizer: TextTokenizer, pair: PromptPair) -> tuple[int, int]:
    """Token ids of target and foil.

    Raises:
        TextError: one of them is not a single token, or they are the same one.
    """
    ids = [tokenizer.encode(text) for text in (pair.target, pair.foil)]
    for text, found in zip((pair.target, pair.foil), ids, strict=True):
        if len(found) != 1:
            raise TextError(
                f"wanted the answer {text!r} as one token",
                found=f"it takes {len(found)}",
                hint="mind the leading space, or take another word",
            )
    if ids[0] == ids[1]:
        raise TextError(f"target and foil of {pair.prompt!r} are the same token", found=repr(pair.target))
    return ids[0][0], ids[1][0]


def check_task(model: TaskModel, task: Task, batch: int = 8) -> Result:
    """How a model does on a task.

    Scalars: `accuracy` (share of prompts with a positive logit difference), `mean_logit_difference`, `top1` (share
    whose likeliest next token is the target), `mean_target_probability`, `n`.
    """
    rows: list[dict[str, Any]] = []
    for first in range(0, len(task.prompts), batch):
        rows += _measure(model, task.prompts[first : first + batch])
    mean = {key: sum(float(row[key]) for row in rows) / len(rows) for key in _MEASURED}
    return Result(
        kind="task",
        scalars={
            "accuracy": mean["right"],
            "mean_logit_difference": mean["logit_difference"],
            "top1": mean["top1"],
            "mean_target_probability": mean["target_probability"],
            "n": float(len(rows)),
        },
        tables={"prompts": rows},
        params={"task": task.name, "metric": task.metric},
        inputs={"model": model.ref.weight_hash},
        notes=("logit difference: logit(target) - logit(foil) at the last position",),
        seed=task.seed,
    )


_MEASURED = ("right", "logit_difference", "top1", "target_probability")


@torch.no_grad()
def _measure(model: TaskModel, prompts: Sequence[PromptPair]) -> list[dict[str, Any]]:
    tokens = model.tokens([pair.prompt for pair in prompts])
    logits = model.run(tokens).logits
    last = logits[torch.arange(len(prompts)), (tokens.lengths - 1).to(logits.device)].float().cpu()
    probabilities = last.softmax(-1)
    rows = []
    for pair, values, chances in zip(prompts, last, probabilities, strict=True):
        target, foil = answer_ids(model.tokenizer, pair)
        difference = float(values[target] - values[foil])
        rows.append(
            {
                "prompt": pair.prompt,
                "target": pair.target,
                "foil": pair.foil,
                "logit_difference": difference,
                "right": difference > 0,
                "top1": int(values.argmax()) == target,
                "target_probability": float(chances[target]),
                "foil_probability": float(chances[foil]),
                "note": pair.note,
            }
        )
    return rows


WOMEN = ("Mary", "Sarah", "Anna", "Emma", "Alice", "Jane", "Lucy", "Laura", "Kate", "Grace", "Clara", "Susan")
MEN = ("John", "Peter", "Tom", "James", "David", "Paul", "Mark", "Henry", "Frank", "Ben", "Daniel", "Robert")
_TEMPLATES = (
    "When {a} and {b} went to the {place}, {b} gave a {thing} to",
    "When {b} and {a} went to the {place}, {b} gave a {thing} to",
    "After {a} and {b} had been at the {place} for an hour, {b} handed a {thing} to",
    "While {b} and {a} were working at the {place}, {b} decided to give a {thing} to",
    "Yesterday {a} and {b} met at the {place}. Then {b} showed a {thing} to",
)
_PLACES = ("store", "park", "school", "office", "station", "restaurant")
_THINGS = ("drink", "book", "letter", "ring", "key", "ball")


def _single(tokenizer: TextTokenizer, words: Sequence[str]) -> list[str]:
    """The words that, with a leading space, are one known token."""
    found = []
    for word in words:
        try:
            if len(tokenizer.encode(f" {word}")) == 1:
                found.append(word)
        except TextError:  # a tokenizer of whole words refuses the unknown
            continue
    return found


def _indirect_object(tokenizer: TextTokenizer, count: int, seed: int, groups: Sequence[Sequence[str]]):
    """Two people, one acts, the other receives; `groups` are the names that go together."""
    draw = random.Random(child(seed, "indirect-object", len(groups)))
    usable = [found for group in groups if len(found := _single(tokenizer, group)) > 1]
    if not usable:
        raise TextError("the indirect-object task needs two names that are single tokens", found="none")
    prompts = []
    for number in range(count):
        a, b = draw.sample(draw.choice(usable), 2)
        words = {"place": draw.choice(_PLACES), "thing": draw.choice(_THINGS)}
        template = _TEMPLATES[number % len(_TEMPLATES)]
        prompts.append(PromptPair(template.format(a=a, b=b, **words), f" {a}", f" {b}", _genders(a, b)))
    return prompts


def _genders(a: str, b: str) -> str:
    return "names of one gender" if (a in WOMEN) == (b in WOMEN) else "names of two genders"


@register("task", "indirect-object")
def indirect_object(tokenizer: TextTokenizer, count: int, seed: int) -> Sequence[PromptPair]:
    """Any two names (Wang et al. 2022, arXiv 2211.00593)."""
    return _indirect_object(tokenizer, count, seed, [(*WOMEN, *MEN)])


@register("task", "indirect-object-one-gender")
def indirect_object_one_gender(tokenizer: TextTokenizer, count: int, seed: int) -> Sequence[PromptPair]:
    """The control: both names have one gender, so gender cannot tell them apart."""
    return _indirect_object(tokenizer, count, seed, [WOMEN, MEN])


@register("task", "greater-than")
def greater_than(tokenizer: TextTokenizer, count: int, seed: int) -> Sequence[PromptPair]:
    """A span's end cannot lie before its start (Hanna et al. 2023, arXiv 2305.00586), on the tens digit.

    The target lies two above the start's tens digit, the foil two below.
    """
    draw = random.Random(child(seed, "greater-than"))
    prompts = []
    for _ in range(count):
        noun = draw.choice(("war", "dispute", "project", "voyage", "reign", "construction"))
        century, tens, ones = draw.choice(("16", "17", "18")), draw.randint(2, 7), draw.randint(0, 9)
        prompt = f"The {noun} lasted from the year {century}{tens}{ones} to the year {century}"
        prompts.append(PromptPair(prompt, str(tens + 2), str(tens - 2)))
    return prompts


_DEMO = (
    PromptPair("When Mary and John went to the store, John gave a drink to", " Mary", " John", "names of two genders"),
    PromptPair("When Tom and James went to the park, James gave a ball to", " Tom", " James", "names of one gender"),
    PromptPair("After Sarah and Peter had lunch, Peter handed the bill to", " Sarah", " Peter", "another template"),
    PromptPair("The war lasted from the year 1745 to the year 17", "6", "2", "an end that lies after the start"),
    PromptPair("The Eiffel Tower is in the city of", " Paris", " London", "a fact"),
)


@register("task", "demo")
def demo(tokenizer: TextTokenizer, count: int, seed: int) -> Sequence[PromptPair]:
    """The demo's five prompts; the first is the main one."""
    return _DEMO[:count]
