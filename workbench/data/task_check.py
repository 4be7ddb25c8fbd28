"""check_task: how a model does on a task, said plainly where it cannot do it."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from workbench.core import PromptPair, Result

from .task import Task, answer_ids, answer_scores

SOLVED = 0.75
"""A model can do a task if so large a share of its prompts is answered right."""


@runtime_checkable
class TaskModel(Protocol):
    """What checking a task asks of a model."""

    @property
    def tokenizer(self) -> Any: ...
    @property
    def ref(self) -> Any: ...
    def tokens(self, text: Sequence[str]) -> Any: ...
    def run(self, tokens: Any) -> Any: ...


def check_task(model: TaskModel, task: Task, batch: int = 8) -> Result:
    """How a model does on a task.

    Scalars: `accuracy` (share of prompts with a positive metric), `mean_metric`, `mean_logit_difference` (target
    against foil), `top1` (share whose likeliest next token is right), `mean_target_probability`, `n`; with corrupted
    prompts also their number `n_corrupted`, `mean_corrupted_metric` and `corrupted_lower` (share of the pairs whose
    corrupted prompt scores lower); `solved` is 1 where accuracy and, with corrupted prompts, corrupted_lower reach
    0.75. A note says so where they do not.
    """
    rows: list[dict[str, Any]] = []
    for first in range(0, len(task.prompts), batch):
        rows += _measure(model, task, task.prompts[first : first + batch])
    scalars = {name: _mean(rows, column) for name, column in _MEASURED.items()} | {"n": float(len(rows))}
    twins = [row for row in rows if row["corrupted_metric"] is not None]
    if twins:
        lower = [float(row["corrupted_metric"] < row["metric"]) for row in twins]
        scalars["mean_corrupted_metric"] = _mean(twins, "corrupted_metric")
        scalars["corrupted_lower"] = sum(lower) / len(lower)
    scalars["n_corrupted"] = float(len(twins))
    solved = scalars["accuracy"] >= SOLVED and scalars.get("corrupted_lower", 1.0) >= SOLVED
    scalars["solved"] = float(solved)
    return Result(
        kind="task",
        scalars=scalars,
        tables={"prompts": rows},
        params={"task": task.name, "metric": task.metric},
        inputs={"model": model.ref.weight_hash},
        notes=(_definition(task.metric), *([] if solved else [_cannot(task, scalars)])),
        seed=task.seed,
    )


_MEASURED = {
    "accuracy": "right",
    "mean_metric": "metric",
    "mean_logit_difference": "logit_difference",
    "top1": "top1",
    "mean_target_probability": "target_probability",
}


def _mean(rows: Sequence[dict[str, Any]], column: str) -> float:
    return sum(float(row[column]) for row in rows) / max(len(rows), 1)


def _definition(metric: str) -> str:
    sides = {"logit difference": "mean logit", "probability difference": "summed probability"}
    return f"{metric}: {sides[metric]} of the right answers minus that of the wrong ones at the last position"


def _cannot(task: Task, scalars: dict[str, float]) -> str:
    if scalars["accuracy"] < SOLVED:
        return f"this model cannot do {task.name}: {scalars['accuracy']:.0%} of {scalars['n']:.0f} prompts are right"
    return (
        f"the corrupted prompts of {task.name} do not corrupt this model's answers: "
        f"{scalars['corrupted_lower']:.0%} of them score lower than their twins"
    )


@torch.no_grad()
def _last(model: TaskModel, prompts: Sequence[str]) -> Tensor:
    """Logits at the last real position, [b, v] in float32."""
    tokens = model.tokens(prompts)
    logits = model.run(tokens).logits
    return logits[torch.arange(len(prompts)), (tokens.lengths - 1).to(logits.device)].float().cpu()


def _measure(model: TaskModel, task: Task, pairs: Sequence[PromptPair]) -> list[dict[str, Any]]:
    last = _last(model, [pair.prompt for pair in pairs])
    scores = answer_scores(last, model.tokenizer, pairs, task.metric).tolist()
    twins = [pair for pair in pairs if pair.corrupted]
    corrupted: dict[PromptPair, float] = {}
    if twins:
        found = _last(model, [pair.corrupted for pair in twins])
        corrupted = dict(zip(twins, answer_scores(found, model.tokenizer, twins, task.metric).tolist(), strict=True))
    probabilities = last.softmax(-1)
    rows = []
    for pair, values, chances, score in zip(pairs, last, probabilities, scores, strict=True):
        target, foil = answer_ids(model.tokenizer, pair)
        right = {model.tokenizer.encode(text)[0] for text in pair.right}
        rows.append(
            {
                "prompt": pair.prompt,
                "target": pair.target,
                "foil": pair.foil,
                "metric": score,
                "corrupted_metric": corrupted.get(pair),
                "logit_difference": float(values[target] - values[foil]),
                "right": score > 0,
                "top1": int(values.argmax()) in right,
                "target_probability": float(chances[target]),
                "foil_probability": float(chances[foil]),
                "corrupted": pair.corrupted,
                "note": pair.note,
            }
        )
    return rows
