"""The bench of planted circuits: every method of circuit discovery against circuits that are known."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from workbench.circuits import (
    AcdcConfig,
    AttributionConfig,
    ComponentConfig,
    Components,
    Contrast,
    DiscreteConfig,
    PatchConfig,
    acdc,
    attribution_patch,
    auroc,
    contrast_of,
    discrete,
    eap,
    mean_difference,
    patch,
    random_scores,
)
from workbench.core import ConfigError, Interrupted, Progress, Result, Silent, child, nearest, register
from workbench.data import Task
from workbench.models import PROGRAMS, HookedModel, PlantedCircuit, build_circuit

from .planted_circuits_config import PlantedCircuitsConfig
from .planted_graphs import planted_graph_rows

Rows = Sequence[Mapping[str, Any]]
Method = Callable[[HookedModel, Contrast, PlantedCircuitsConfig, Progress], Mapping[str, Rows]]


def _patching(
    model: HookedModel, pairs: Contrast, config: PlantedCircuitsConfig, progress: Progress
) -> dict[str, Rows]:
    settings = {"batch": config.prompts, "bootstrap": 0}
    nodes = patch(model, pairs, PatchConfig.parse({**settings, "level": "node"}), progress)
    edges = patch(model, pairs, PatchConfig.parse({**settings, "level": "edge"}), progress)
    return {"nodes": nodes.tables["nodes"], "edges": edges.tables["edges"]}


def _attribution(method: str) -> Method:
    def run(model: HookedModel, pairs: Contrast, config: PlantedCircuitsConfig, progress: Progress) -> dict[str, Rows]:
        settings = AttributionConfig.parse({"method": method, "batch": config.prompts})
        nodes = attribution_patch(model, pairs, settings, progress)
        edges = eap(model, pairs, settings, progress)
        return {"nodes": nodes.tables["nodes"], "edges": edges.tables["edges"]}

    return run


def _search(
    model: HookedModel, pairs: Contrast, config: PlantedCircuitsConfig, progress: Progress
) -> Mapping[str, Rows]:
    return acdc(model, pairs, AcdcConfig(batch=config.prompts), progress).tables


def _codes(mlps: bool) -> Method:
    def run(
        model: HookedModel, pairs: Contrast, config: PlantedCircuitsConfig, progress: Progress
    ) -> Mapping[str, Rows]:
        settings = DiscreteConfig(batch=50, trials=config.trials, seed=config.seed, mlps=mlps)
        return discrete(model, pairs, settings, progress).tables

    return run


def _difference(
    model: HookedModel, pairs: Contrast, config: PlantedCircuitsConfig, progress: Progress
) -> Mapping[str, Rows]:
    """An edge's score is the product of its ends'; `logits` counts as 1."""
    nodes = mean_difference(model, pairs, ComponentConfig(batch=50), progress).tables["nodes"]
    score = {row["node"]: row["score"] for row in nodes} | {"logits": 1.0}
    ends = {edge: (edge.split("->")[0], edge.split("->")[1].split("<")[0]) for edge in Components.of(model.shape).edges}
    return {"nodes": nodes, "edges": [{"edge": edge, "score": score[a] * score[b]} for edge, (a, b) in ends.items()]}


METHODS: dict[str, Method] = {
    "activation patching": _patching,
    "exact search": _search,
    "EAP-IG": _attribution("ig-inputs"),
    "EAP-IG activations": _attribution("ig-activations"),
    "EAP": _attribution("plain"),
    "discrete codes": _codes(mlps=True),
    "discrete codes, heads": _codes(mlps=False),
    "mean difference": _difference,
}
"""Name -> method; a random score joins them in the table."""
_READS_MANY = ("discrete codes", "discrete codes, heads", "mean difference")


@register("benchmark", "planted circuits")
def planted_circuits(config: PlantedCircuitsConfig | None = None, progress: Progress | None = None) -> Result:
    """Area under the ROC curve of every method on every planted circuit, for nodes and for edges.

    Tables: `methods` (mean and least AUROC over circuits), `circuits` (a row per model and method), `graphs`
    (attribution graphs with exact transcoders: planted features found, effect of error nodes).

    Raises:
        ConfigError: an unknown circuit or method. Interrupted: cancelled before one circuit was measured.
    """
    config, progress = config or PlantedCircuitsConfig(), progress or Silent()
    chosen = _chosen(config.models, PROGRAMS, "planted circuit"), _chosen(config.methods, METHODS, "method")
    kinds = {"others": (False,), "echo": (True,), "both": (False, True)}[config.distractors]
    rows: list[dict[str, Any]] = []
    graphs: list[dict[str, Any]] = []
    stopped = False
    try:
        for name in chosen[0]:
            for seed in range(config.seed, config.seed + config.instances):
                for echo in kinds:
                    circuit = build_circuit(name, seed, echo)
                    rows += _measure(circuit, chosen[1], config, progress)
                    graphs += [] if echo else planted_graph_rows(circuit, config, progress)
    except Interrupted:
        stopped = True
    if not rows:
        raise Interrupted("the bench was cancelled before anything was measured")
    methods = _summary(rows)
    return Result(
        kind="planted_circuits",
        scalars={
            f"{level}_auroc_{row['method']}_{row['distractors']}": row[f"{level} AUROC"]
            for row in methods
            for level in ("node", "edge")
        },
        tables={"methods": methods, "circuits": rows} | ({"graphs": graphs} if graphs else {}),
        params=config.model_dump(mode="json"),
        notes=_NOTES,
        seed=config.seed,
        partial=stopped,
    )


def area(rows: Rows, key: str, truth: Collection[str], ignored: Collection[str] = ()) -> float:
    """Area under the ROC curve of |score| against membership in the circuit; ties count half."""
    kept = [row for row in rows if row[key] not in ignored]
    return auroc([abs(row["score"]) for row in kept], [row[key] in truth for row in kept])


def _chosen(wanted: Sequence[str], known: Mapping[str, Any], kind: str) -> list[str]:
    found = [name.removeprefix("planted-") for name in wanted] or list(known)
    for name in found:
        if name not in known:
            raise ConfigError(f"no {kind} {name!r}", hint=nearest(name, known))
    return found


def _measure(
    circuit: PlantedCircuit, methods: Sequence[str], config: PlantedCircuitsConfig, progress: Progress
) -> list[dict[str, Any]]:
    model = circuit.hooked()
    metric = PROGRAMS[circuit.name.removeprefix("planted-")].metric
    seed = child(config.seed, "prompts", circuit.seed)
    task = Task(circuit.name, circuit.prompts(max(config.prompts, config.code_prompts), seed), metric, config.seed)
    few, many = (
        contrast_of(model, Task(task.name, task.prompts[:count], metric))
        for count in (config.prompts, config.code_prompts)
    )
    head = {"model": circuit.name, "instance": circuit.seed, "distractors": "echo" if circuit.echo else "others"}
    rows = []
    for name in methods:
        began = time.perf_counter()
        tables = METHODS[name](model, many if name in _READS_MANY else few, config, progress)
        seconds = time.perf_counter() - began
        rows.append({**head, "method": name, **_areas(tables, circuit), "seconds": seconds})
    found = [_areas(random_scores(model, child(config.seed, "random", draw)).tables, circuit) for draw in range(20)]
    mean = {key: sum(each[key] for each in found) / len(found) for key in found[0]}
    return [*rows, {**head, "method": "random", **mean, "seconds": 0.0}]


def _areas(tables: Mapping[str, Rows], circuit: PlantedCircuit) -> dict[str, float]:
    """Nodes are heads and MLPs; edges those that a method scores."""
    return {
        "node AUROC": area(tables["nodes"], "node", circuit.nodes, ("input", "logits")),
        "edge AUROC": area(tables["edges"], "edge", circuit.edges),
    }


def _summary(rows: Rows) -> list[dict[str, Any]]:
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["distractors"], row["method"]), []).append(row)
    found = []
    for (distractors, method), group in sorted(groups.items(), key=lambda item: item[0][0] != "others"):
        record: dict[str, Any] = {"distractors": distractors, "method": method, "circuits": len(group)}
        for level in ("node", "edge"):
            values = [row[f"{level} AUROC"] for row in group if row[f"{level} AUROC"] == row[f"{level} AUROC"]]
            record[f"{level} AUROC"] = sum(values) / len(values) if values else float("nan")
            record[f"{level} least"] = min(values, default=float("nan"))
        found.append({**record, "seconds": sum(row["seconds"] for row in group)})
    return found


_NOTES = (
    "AUROC of |score| against the planted circuit: nodes are heads and MLPs (input and logits are always in it); edges "
    "all edges of the component graph, for discrete codes those between heads and MLPs. Ties count "
    "half (nan: no such edge in the circuit); random: the mean of 20 draws.",
    "Every distractor has the weight norm and output norm of the circuit's part in its place. others: distractors run "
    "the same program on words of their own, drawn anew in corrupted prompts; echo: on the circuit's own words, so "
    "that only what they cause tells them from the circuit.",
    "Discrete codes score MLPs as well, beyond the paper; `heads` scores heads alone, as the paper does. Both, and "
    "mean difference, read more prompts (code_prompts) than the others.",
    "Graphs: MLPs replaced by transcoders made of their own neurons. A feature counts as claimed when its |total "
    "effect| is at least a twentieth of the largest; errors: the largest |effect| of an error node, as a share of the "
    "metric.",
)
