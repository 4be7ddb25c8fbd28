"""Task: prompts of one kind with the metric that scores their answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core import METRICS, KnownTask, PromptPair as PromptPair, TextError, get

from .pack import TextTokenizer
from .task_file import is_task_file, read_task_file

LOGITS, PROBABILITIES = METRICS


@dataclass(frozen=True)
class Task:
    """Prompts of one kind and what measures the answer at the last position (`answer_scores`)."""

    name: str
    prompts: tuple[PromptPair, ...]
    metric: str = LOGITS
    seed: int = 0


def make_task(name: str | Path, tokenizer: TextTokenizer, count: int = 24, seed: int = 0) -> Task:
    """The prompts of a registered task or of a task file, with answers that are single tokens of this tokenizer.

    A name that ends in .toml or .json is a file; it gives its first `count` prompts.

    Raises:
        ConfigError: no such task, or a file that is no task. TextError: the tokenizer lacks the words for it, or a
            corrupted prompt is not as long as its twin.
    """
    if is_task_file(name):
        file = read_task_file(Path(name))
        task = Task(file.name or Path(name).stem, file.pairs()[:count], file.metric, seed)
    else:
        known: KnownTask = get("task", str(name))
        task = Task(known.name, tuple(known.make(tokenizer, count, seed)), known.metric, seed)
    for pair in task.prompts:
        check_pair(tokenizer, pair)
    return task


def check_pair(tokenizer: TextTokenizer, pair: PromptPair) -> None:
    """Refuse answers that are no single tokens or on both sides, and twins of unequal length.

    Raises:
        TextError: one of these.
    """
    answer_ids(tokenizer, pair)
    all_answer_ids(tokenizer, pair)
    if not pair.corrupted:
        return
    lengths = [len(tokenizer.encode(text)) for text in (pair.prompt, pair.corrupted)]
    if lengths[0] != lengths[1]:
        raise TextError(
            f"wanted {pair.corrupted!r} as long as {pair.prompt!r}",
            found=f"{lengths[1]} tokens, not {lengths[0]}",
            hint="exchange words for words of as many tokens",
        )


def answer_ids(tokenizer: TextTokenizer, pair: PromptPair) -> tuple[int, int]:
    """Token ids of target and foil.

    Raises:
        TextError: one of them is not a single token, or they are the same one.
    """
    ids = _token_id(tokenizer, pair.target), _token_id(tokenizer, pair.foil)
    if ids[0] == ids[1]:
        raise TextError(f"target and foil of {pair.prompt!r} are the same token", found=repr(pair.target))
    return ids


def all_answer_ids(tokenizer: TextTokenizer, pair: PromptPair) -> tuple[list[int], list[int]]:
    """Token ids of every right and of every wrong answer.

    Raises:
        TextError: one of them is not a single token, or counts as right and wrong.
    """
    right, wrong = ([_token_id(tokenizer, text) for text in side] for side in (pair.right, pair.wrong))
    if both := set(right) & set(wrong):
        shown = next(text for text, token in zip(pair.right, right, strict=True) if token in both)
        raise TextError(f"a right and a wrong answer of {pair.prompt!r} are the same token", found=repr(shown))
    return right, wrong


def answer_scores(
    last: Float[Tensor, "b v"], tokenizer: TextTokenizer, pairs: Sequence[PromptPair], metric: str = LOGITS
) -> Float[Tensor, " b"]:
    """The metric of every prompt from the logits at its last position; differentiable.

    `logit difference`: mean logit of the right answers minus mean of the wrong ones; `probability difference`: the
    summed probability of the right ones minus that of the wrong ones.
    """
    rows = last.softmax(-1) if metric == PROBABILITIES else last
    scores = []
    for row, pair in zip(rows, pairs, strict=True):
        right, wrong = (row[ids] for ids in all_answer_ids(tokenizer, pair))
        scores.append(right.sum() - wrong.sum() if metric == PROBABILITIES else right.mean() - wrong.mean())
    return torch.stack(scores)


def _token_id(tokenizer: TextTokenizer, text: str) -> int:
    found = tokenizer.encode(text)
    if len(found) != 1:
        raise TextError(
            f"wanted the answer {text!r} as one token",
            found=f"it takes {len(found)}",
            hint="mind the leading space, or take another word",
        )
    return found[0]
