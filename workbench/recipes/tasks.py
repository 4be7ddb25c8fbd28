"""The known tasks, and how a model does on some of them."""

from collections.abc import Sequence
from typing import Any

from workbench.core import Progress, Result, Silent, TextError, get, names
from workbench.data import check_task, make_task
from workbench.models import load_model


def known_tasks() -> list[dict[str, Any]]:
    """Name, metric and one line about every registered task."""
    found = (get("task", name) for name in names("task"))
    return [{"task": task.name, "metric": task.metric, "about": task.about} for task in found]


def check_tasks(
    model: str,
    tasks: Sequence[str] = (),
    count: int = 24,
    seed: int = 0,
    *,
    device: str = "auto",
    offline: bool = False,
    progress: Progress | None = None,
) -> Result:
    """Check a model on tasks (registered names or task files; none: every registered one that its tokenizer can say).

    Tables: `tasks` (a row per task; one that cannot be made for this tokenizer says why), `prompts`.

    Raises:
        ConfigError: no such task, or a file that is no task. TextError: a task that was named cannot be made.
    """
    progress = progress or Silent()
    subject = load_model(model, device=device, offline=offline, progress=progress)
    wanted = tuple(tasks) or names("task")
    rows: list[dict[str, Any]] = []
    prompts: list[dict[str, Any]] = []
    progress.phase("checking tasks", len(wanted), "tasks")
    for name in wanted:
        if progress.cancelled():
            break
        try:
            task = make_task(name, subject.tokenizer, count, seed)
        except TextError as error:
            if tasks:
                raise
            rows.append({**_row(name, None), "note": str(error)})
            continue
        result = check_task(subject, task)
        rows.append({**_row(task.name, result), "note": "; ".join(result.notes[1:])})
        prompts += [{"task": task.name, **row} for row in result.tables["prompts"]]
        progress.advance()
    return Result(
        kind="tasks",
        scalars={"solved": float(sum(row["solved"] == "yes" for row in rows)), "tasks": float(len(rows))},
        tables={"tasks": rows, "prompts": prompts},
        params={"model": model, "count": count, "seed": seed},
        inputs={"model": subject.ref.weight_hash},
        notes=(
            "right: share of the prompts whose metric is positive; metric: its mean over prompts, and over their "
            "corrupted twins; top1: share whose likeliest next token is a right answer; solved: at least three "
            "quarters are right, and score higher than their twins",
        ),
        seed=seed,
        partial=len(rows) < len(wanted),
    )


def _row(name: str, result: Result | None) -> dict[str, Any]:
    scalars = result.scalars if result else {}
    return {
        "task": name,
        "solved": ("yes" if scalars["solved"] else "no") if result else "-",
        "right": scalars.get("accuracy"),
        "metric": scalars.get("mean_metric"),
        "corrupted": scalars.get("mean_corrupted_metric"),
        "top1": scalars.get("top1"),
        "prompts": int(scalars["n"]) if result else 0,
    }
