"""Patch a model's components on a task; discover circuits and test them by exact ablation and random circuits."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from workbench.circuits import (
    AcdcConfig,
    AttributionConfig,
    CircuitCheckConfig,
    ComponentConfig,
    DiscreteConfig,
    FaithfulnessConfig,
    PatchConfig,
    PathPatchConfig,
    acdc,
    attribution_patch,
    check_circuit,
    compare_scores,
    contrast_of,
    discrete,
    eap,
    faithfulness,
    mean_difference,
    patch,
    path_patch,
    random_scores,
    write_circuit,
)
from workbench.core import Config, ConfigError, Progress, Result, Silent, nearest
from workbench.data import Task, check_task, make_task
from workbench.models import HookedModel, load_model
from workbench.workspace import Workspace

from .circuits import slug
from .component_settings import DEFAULT_SCORERS, SCORERS, DiscoverConfig

Method = Callable[[HookedModel, Task, Progress], Result]


def open_task(
    model: str, task: str, count: int, seed: int, *, device: str, offline: bool, progress: Progress | None
) -> tuple[HookedModel, Task]:
    """A model and a task's prompts for its tokenizer; a name that ends in .toml or .json is a task file.

    Raises:
        ConfigError: no such task. TextError: the tokenizer lacks the words for it.
    """
    subject = load_model(model, device=device, offline=offline, progress=progress or Silent())
    return subject, make_task(task, subject.tokenizer, count, seed)


def patch_by_name(
    place: Workspace,
    task: str,
    model: str,
    config: PatchConfig,
    count: int = 24,
    *,
    name: str | None = None,
    device: str = "auto",
    offline: bool = False,
    progress: Progress | None = None,
) -> Result:
    """Patch every node or edge on a task's prompts and save the Result."""
    subject, prompts = open_task(model, task, count, config.seed, device=device, offline=offline, progress=progress)
    result = patch(subject, prompts, config, progress)
    result.save(place.path_of("results", name or slug(f"{prompts.name} {config.direction} {config.level}")))
    return result


def discover_by_name(
    place: Workspace,
    task: str,
    model: str,
    scorers: Sequence[str] = DEFAULT_SCORERS,
    config: DiscoverConfig | None = None,
    count: int = 24,
    *,
    name: str | None = None,
    device: str = "auto",
    offline: bool = False,
    circuit_file: Path | None = None,
    progress: Progress | None = None,
) -> Result:
    """Run scorers on a task, compare them with exact ablation, and measure their circuits' faithfulness.

    Every step is saved under `results/<name>-<step>`; a step that is there already for the same prompts, model and
    settings is not run again. The Result (kind `discovery`) has the tables `scorers` (time, agreement with exact
    ablation of heads, CPR, CMD), `heads` (exact effects, then the score of every scorer), `curve`, `random`.

    Raises:
        ConfigError: unknown task or scorer. Interrupted: cancelled; what is finished is kept.
    """
    config, progress = config or DiscoverConfig(), progress or Silent()
    for scorer in scorers:
        if scorer not in SCORERS:
            raise ConfigError(f"unknown scorer {scorer!r}", hint=nearest(scorer, SCORERS))
    subject, prompts = open_task(model, task, count, config.seed, device=device, offline=offline, progress=progress)
    steps = _Steps(place, name or slug(prompts.name), subject, prompts, progress)
    found = {scorer: steps.run(scorer, *_method(scorer, config)) for scorer in dict.fromkeys(scorers)}
    tables: dict[str, list[dict]] = {"scorers": [_row(scorer, result) for scorer, result in found.items()]}
    solved = check_task(subject, prompts, config.batch)
    scalars = {f"task_{key}": solved.scalars[key] for key in ("accuracy", "mean_metric", "mean_corrupted_metric")}
    notes = list(solved.notes)
    if config.exact:
        exact_config = PatchConfig(ablation=config.ablation, batch=config.batch, seed=config.seed)
        exact = steps.run("exact", exact_config, lambda m, t, p: patch(m, t, exact_config, p))
        scalars["seconds_exact"] = exact.scalars["seconds"]
        _join(tables["scorers"], compare_scores(exact, found, seed=config.seed))
        heads = [row for row in exact.tables["nodes"] if row["node"].startswith("a")]
        tables["heads"] = _beside(sorted(heads, key=lambda row: -abs(row["score"])), found)
        notes.append("rho, auroc: against exact ablation of single heads; auroc: their top tenth by |effect|")
    edges = {scorer: result for scorer, result in found.items() if "edges" in result.tables}
    if config.random_circuits and edges:
        curves = _curves(steps, edges, config)
        _join(tables["scorers"], curves.tables["areas"])
        tables |= {table: curves.tables[table] for table in ("curve", "random")}
        notes += curves.notes
    if config.check_fraction and edges:
        _join(tables["scorers"], _checks(steps, edges, config))
    result = Result(
        "discovery",
        scalars,
        tables,
        params={"task": prompts.name, "count": count, "scorers": list(found), **config.model_dump(mode="json")},
        inputs={"model": subject.ref.weight_hash},
        notes=tuple(dict.fromkeys(notes)),
        seed=config.seed,
    )
    result.save(place.path_of("results", steps.name))
    if circuit_file is not None:
        if not edges:
            raise ConfigError("no scorer scored edges, so there is no circuit to write", hint="add --scorer eap")
        write_circuit(circuit_file, subject, list(edges.values())[-1])
    return result


@dataclass(frozen=True)
class _Steps:
    """Steps of one discovery, kept in the workspace."""

    place: Workspace
    name: str
    model: HookedModel
    task: Task
    progress: Progress

    def run(self, step: str, config: Config, method: Method, **inputs: str) -> Result:
        """The Result of a step, made now unless it was made before."""
        path = self.place.path_of("results", f"{self.name}-{step}")
        wanted = {"step": step, **inputs, **config.model_dump(mode="json")}
        pairs = contrast_of(self.model, self.task).digest
        if path.is_dir():
            made = Result.load(path)
            same = made.inputs.get("model") == self.model.ref.weight_hash and made.inputs.get("prompts") == pairs
            if same and made.params.get("settings") == wanted:
                return made
        began = time.perf_counter()
        result = method(self.model, self.task, self.progress)
        result.scalars["seconds"] = time.perf_counter() - began
        result.params["settings"] = wanted
        result.inputs["prompts"] = pairs
        result.save(path)
        return result


def _method(scorer: str, config: DiscoverConfig) -> tuple[Config, Method]:
    """The settings of a scorer, and the scorer."""
    shared = {"ablation": config.ablation, "batch": config.batch}
    plain = ComponentConfig.model_validate(shared)
    if scorer == "mean-difference":
        return plain, lambda m, t, p: mean_difference(m, t, plain, p)
    if scorer == "random":
        return plain.model_copy(), lambda m, t, p: random_scores(m, config.seed)
    if scorer == "discrete":
        codes = DiscreteConfig(batch=config.batch, seed=config.seed)
        return codes, lambda m, t, p: discrete(m, t, codes, p)
    if scorer == "path":
        paths = PathPatchConfig.model_validate(shared)
        return paths, lambda m, t, p: path_patch(m, t, paths, p)
    if scorer == "acdc":
        search = AcdcConfig.model_validate({**shared, "threshold": config.threshold})
        return search, lambda m, t, p: acdc(m, t, search, p)
    family, _, kind = scorer.partition("-")
    linear = AttributionConfig.model_validate({**shared, "method": kind or "plain", "steps": config.steps})
    verb = eap if family == "eap" else attribution_patch
    return linear, lambda m, t, p: verb(m, t, linear, p)


def _curves(steps: _Steps, edges: dict[str, Result], config: DiscoverConfig) -> Result:
    settings = FaithfulnessConfig(
        ablation=config.ablation, batch=config.batch, random_circuits=config.random_circuits, seed=config.seed
    )
    first = Task(steps.task.name, steps.task.prompts[: config.curve_prompts], steps.task.metric, steps.task.seed)
    scores = {scorer: result.id for scorer, result in edges.items()}
    count = str(len(first.prompts))
    return steps.run(
        "faithfulness", settings, lambda m, t, p: faithfulness(m, first, edges, settings, p), prompts=count, **scores
    )


def _checks(steps: _Steps, edges: dict[str, Result], config: DiscoverConfig) -> list[dict]:
    settings = CircuitCheckConfig(
        ablation=config.ablation, batch=config.batch, fraction=config.check_fraction, seed=config.seed
    )
    rows = []
    for scorer, scores in edges.items():
        made = steps.run(
            f"{scorer}-check", settings, lambda m, t, p, s=scores: check_circuit(m, t, s, settings, p), scores=scores.id
        )
        kept = ("faithfulness", "incompleteness", "worst_gap", "needed")
        rows.append({"scorer": scorer, **{key: made.scalars[key] for key in kept}})
    return rows


def _beside(heads: list[dict], found: dict[str, Result]) -> list[dict]:
    """Rows of heads with every scorer's score as a column of its name."""
    scores = {scorer: {row["node"]: row["score"] for row in result.tables["nodes"]} for scorer, result in found.items()}
    return [{**row, **{scorer: known.get(row["node"]) for scorer, known in scores.items()}} for row in heads]


def _row(scorer: str, result: Result) -> dict:
    return {"scorer": scorer, "level": result.params.get("level"), "seconds": result.scalars["seconds"]}


def _join(rows: list[dict], more: Sequence[dict]) -> None:
    """Add the columns of other rows of the same scorers; scorers that are new come last."""
    known = {row["scorer"]: row for row in rows}
    for row in more:
        if row["scorer"] in known:
            known[row["scorer"]].update(row)
        else:
            rows.append(dict(row))
