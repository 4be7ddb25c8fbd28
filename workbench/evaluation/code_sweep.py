"""Discrete codes with growing numbers of codes and of training examples (O'Neill and Bui 2024, section 3.4)."""

import statistics
from collections.abc import Sequence
from typing import Any

from workbench.circuits import (
    ComponentConfig,
    DiscreteConfig,
    DiscreteSweepConfig,
    contrast_of,
    discrete_from_rows,
    mean_difference,
    read_outputs,
)
from workbench.core import ConfigError, Interrupted, Progress, Result, Silent, child, nearest
from workbench.data import Task
from workbench.models import PROGRAMS, build_circuit

from .planted_circuits import area

_PROMPTS = 125
"""Pairs: 250 prompts, of which the largest number of training examples takes all."""


def code_sweep(
    models: Sequence[str] = (), config: DiscreteSweepConfig | None = None, progress: Progress | None = None
) -> Result:
    """Node AUROC of discrete codes on planted circuits; each trial trains its autoencoder on other prompts.

    Tables: `codes` and `examples`: a row per circuit and number, with mean and standard deviation over trials, and the
    mean difference beside it.

    Raises:
        ConfigError: an unknown circuit. Interrupted: cancelled before the first sweep was done.
    """
    config, progress = config or DiscreteSweepConfig(), progress or Silent()
    names = [name.removeprefix("planted-") for name in models] or list(PROGRAMS)
    for name in names:
        if name not in PROGRAMS:
            raise ConfigError(f"no planted circuit {name!r}", hint=nearest(name, PROGRAMS))
    tables: dict[str, list[dict[str, Any]]] = {"codes": [], "examples": []}
    stopped = False
    try:
        for name in names:
            _sweep(name, config, tables, progress)
    except Interrupted:
        stopped = True
        if not tables["codes"]:
            raise
    return Result(
        kind="code_sweep",
        tables=tables,
        params=config.model_dump(mode="json") | {"models": names},
        notes=(
            f"node AUROC over {'heads and MLPs' if config.mlps else 'heads'} of {2 * _PROMPTS} prompts, half of them "
            f"corrupted; mean and standard deviation of {config.trials} trials; examples: prompts that train",
        ),
        seed=config.seed,
        partial=stopped,
    )


def _sweep(name: str, config: DiscreteSweepConfig, tables: dict[str, list[dict[str, Any]]], progress: Progress) -> None:
    circuit = build_circuit(name, config.seed)
    model = circuit.hooked()
    task = Task(circuit.name, circuit.prompts(_PROMPTS, child(config.seed, "prompts")), PROGRAMS[name].metric)
    contrast = contrast_of(model, task)
    base = {key: getattr(config, key) for key in DiscreteConfig.model_fields}
    rows = read_outputs(model, contrast, DiscreteConfig.parse(base), progress)
    scored = mean_difference(model, contrast, ComponentConfig(batch=50), progress).tables["nodes"]
    kept = [row for row in scored if row["node"][0] == "a" or (config.mlps and row["node"][0] == "m")]
    difference = area(kept, "node", circuit.nodes)
    for table, key, counts in (("codes", "codes", config.code_counts), ("examples", "examples", config.example_counts)):
        for count in counts:
            areas = []
            for trial in range(config.trials):
                seed = child(config.seed, "trial", trial) % 2**31
                settings = DiscreteConfig.parse({**base, key: count, "trials": 1, "seed": seed})
                found = discrete_from_rows(model, rows, settings, progress)
                areas.append(area(found.tables["nodes"], "node", circuit.nodes))
            spread = statistics.stdev(areas) if len(areas) > 1 else float("nan")
            mean = statistics.fmean(areas)
            record = {"model": circuit.name, key: count, "AUROC": mean, "sd": spread, "mean difference": difference}
            tables[table].append(record)
