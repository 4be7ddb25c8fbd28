"""Class-incremental learning: what a classifier keeps when classes come in tasks and none comes back."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy import stats
from torch import Tensor

from workbench.core import Config, ConfigError, Progress, Result, Silent, child, generator
from workbench.data import LabelledRows
from workbench.dictionaries import KeyValueConfig

from .continual_config import ContinualConfig
from .learners import (
    Bottleneck,
    LinearProbe,
    NearestMean,
    NearestNeighbours,
    StepLearner,
    new_bottleneck,
    train_epochs,
    with_lookups,
)

BOTTLENECK, PROBE = "key-value bottleneck", "linear probe"


class Method(NamedTuple):
    """A kind of learner: how one is made, and over how many epochs it learns."""

    name: str
    make: Callable[[], StepLearner]
    epochs: int


class Trial(NamedTuple):
    """One run's rows, standardised by the training rows, and the classes of each task."""

    x: Float[Tensor, "n d"]
    label: Int[Tensor, " n"]
    test_x: Float[Tensor, "m d"]
    test_label: Int[Tensor, " m"]
    tasks: tuple[tuple[int, ...], ...]
    seed: int


class Outcome(NamedTuple):
    """Accuracy on the test rows of every task after every task [after, on], and on all at the end, in two orders."""

    by_task: Float[np.ndarray, "t t"]
    sequential: float
    iid: float


def continual(
    data: LabelledRows,
    config: ContinualConfig | None = None,
    bottleneck: KeyValueConfig | None = None,
    progress: Progress | None = None,
) -> Result:
    """The key-value bottleneck, a linear probe and neighbours on classes that come in tasks (Träuble et al. 2023).

    Every learner sees the same batches, never a task's number, a border or an earlier row; `iid` is the same learner
    on the same number of epochs over all classes at once. The keys are learnt before, on the training rows without
    labels, and in one control on those of the first task only.

    Table `final`: method, accuracy after the last task, the same trained i.i.d., the gap, and forgetting (largest
    accuracy on a task less the last one, mean over all tasks but the last), each with its interval over the runs.
    Table `tasks`: mean accuracy on the tasks seen, after each task; None for those to come.

    Raises:
        ConfigError: fewer classes than tasks.
    """
    config, bottleneck = config or ContinualConfig(), bottleneck or KeyValueConfig()
    progress = progress or Silent()
    if len(data.classes) < config.tasks:
        raise ConfigError(f"{len(data.classes)} classes cannot be dealt out to {config.tasks} tasks")
    outcomes: dict[str, list[Outcome]] = {}
    progress.phase("continual learning", total=config.seeds, unit="runs")
    for number in range(config.seeds):
        if progress.cancelled():
            break
        trial = _trial(data, config, child(config.seed, "run", number))
        for method in _methods(trial, len(data.classes), config, bottleneck):
            outcomes.setdefault(method.name, []).append(_run(method, trial, config))
        progress.advance()
    return _result(outcomes, data, config, bottleneck)


def _trial(data: LabelledRows, config: ContinualConfig, seed: int) -> Trial:
    train, test = data.split(config.test_share, seed)
    mean, scale = data.rows[train].mean(0), data.rows[train].std(0)
    rows = (data.rows - mean) / torch.where(scale < 1e-6, 1.0, scale)
    order = torch.randperm(len(data.classes), generator=generator(seed, "classes")).tolist()
    tasks = tuple(tuple(part.tolist()) for part in np.array_split(np.array(order), config.tasks))
    return Trial(rows[train], data.label[train], rows[test], data.label[test], tasks, seed)


def _methods(trial: Trial, classes: int, config: ContinualConfig, settings: KeyValueConfig) -> list[Method]:
    first = trial.x[torch.isin(trial.label, torch.tensor(trial.tasks[0]))]
    one_head = KeyValueConfig.parse({**settings.model_dump(), "heads": 1})
    module = new_bottleneck(trial.x, classes, settings, trial.seed)
    modules = {
        BOTTLENECK: module,
        **{
            f"{BOTTLENECK}, {k} keys a head": with_lookups(module, k) for k in (2, 4) if settings.k < k <= settings.keys
        },
        f"{BOTTLENECK}, one head": new_bottleneck(trial.x, classes, one_head, trial.seed),
        f"{BOTTLENECK}, keys of the first task": new_bottleneck(first, classes, settings, trial.seed),
    }
    size = trial.x.shape[1]
    return [
        *(Method(name, partial(Bottleneck, made, config.value_lr), config.epochs) for name, made in modules.items()),
        Method(PROBE, lambda: LinearProbe(size, classes, config.probe_lr), config.epochs),
        Method("nearest neighbours", lambda: NearestNeighbours(classes, config.neighbours), 1),
        Method("nearest class mean", lambda: NearestMean(size, classes), 1),
    ]


def _run(method: Method, trial: Trial, config: ContinualConfig) -> Outcome:
    together, learner = method.make(), method.make()
    seen, test = learner.see(trial.x), learner.see(trial.test_x)
    train_epochs(together, seen, trial.label, method.epochs, config.batch_rows, trial.seed)
    by_task = np.full((len(trial.tasks), len(trial.tasks)), np.nan)
    for number, task in enumerate(trial.tasks):
        here = torch.isin(trial.label, torch.tensor(task))
        train_epochs(
            learner, seen[here], trial.label[here], method.epochs, config.batch_rows, child(trial.seed, "task", number)
        )
        right = _right(learner, test, trial)
        for on, classes in enumerate(trial.tasks):
            by_task[number, on] = float(right[torch.isin(trial.test_label, torch.tensor(classes))].double().mean())
    return Outcome(by_task, _balanced(learner, test, trial), _balanced(together, test, trial))


@torch.no_grad()
def _right(learner: StepLearner, test: Tensor, trial: Trial) -> Tensor:
    return learner.scores(test).argmax(1) == trial.test_label


def _balanced(learner: StepLearner, test: Tensor, trial: Trial) -> float:
    """Accuracy, every class weighing the same."""
    right = _right(learner, test, trial).double()
    return float(torch.stack([right[trial.test_label == label].mean() for label in trial.test_label.unique()]).mean())


def _result(
    outcomes: dict[str, list[Outcome]], data: LabelledRows, config: ContinualConfig, settings: KeyValueConfig
) -> Result:
    final, tasks = [], []
    for name, runs in outcomes.items():
        sequential, iid = (np.array([getattr(run, order) for run in runs]) for order in ("sequential", "iid"))
        row: dict[str, Any] = {"method": name}
        measured = {"accuracy": sequential, "iid": iid, "gap": iid - sequential, "forgetting": _forgetting(runs)}
        for key, values in measured.items():
            low, high = interval(values, config.confidence)
            row |= {key: float(values.mean()), f"{key}_low": low, f"{key}_high": high}
        final.append(row | {"runs": len(runs)})
        grid = np.mean([run.by_task for run in runs], 0)
        tasks += [
            {
                "method": name,
                "after_task": n + 1,
                **{f"task_{m + 1}": float(grid[n, m]) if m <= n else None for m in range(config.tasks)},
            }
            for n in range(config.tasks)
        ]
    rows = {row["method"]: row for row in final}
    scalars = {
        f"{short}_{key}": rows[name][key]
        for name, short in ((BOTTLENECK, "bottleneck"), (PROBE, "probe"))
        if name in rows
        for key in ("accuracy", "iid", "gap", "gap_low", "gap_high", "forgetting")
    }
    return Result(
        kind="continual",
        scalars=scalars,
        tables={"final": final, "tasks": tasks},
        params={**_params(config, settings), "source": data.source, "classes": list(data.classes)},
        notes=(
            "Accuracy weighs every class the same. Keys, projections and the standardisation come from the training "
            "rows without labels, except where keys come from the first task.",
            f"Intervals are Student's t over {len(next(iter(outcomes.values()), []))} runs, each with another split, "
            "order of classes and projection; the gap is paired within a run.",
            "The linear probe and the bottleneck see the same batches for the same number of epochs; nearest "
            "neighbours keep every row, the class means and the neighbours do not depend on the order.",
        ),
        seed=config.seed,
        partial=len(next(iter(outcomes.values()), [])) < config.seeds,
    )


def _params(config: ContinualConfig, settings: KeyValueConfig) -> dict[str, Any]:
    named: dict[str, Config] = {"continual": config, "bottleneck": settings}
    return {name: part.model_dump(mode="json") for name, part in named.items()}


def _forgetting(runs: Sequence[Outcome]) -> Float[np.ndarray, " r"]:
    """Largest accuracy on a task less the last one, mean over all tasks but the last."""
    found = []
    for run in runs:
        drops = [run.by_task[n:, n].max() - run.by_task[-1, n] for n in range(len(run.by_task) - 1)]
        found.append(float(np.mean(drops)) if drops else 0.0)
    return np.array(found)


def interval(values: Float[np.ndarray, " r"], confidence: float) -> tuple[float, float]:
    """Student's t interval of a mean over runs; nan for a single run."""
    if len(values) < 2:
        return float("nan"), float("nan")
    half = stats.t.ppf((1 + confidence) / 2, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
    return float(values.mean() - half), float(values.mean() + half)
