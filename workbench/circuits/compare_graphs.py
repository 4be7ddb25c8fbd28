"""Compare: two graphs of one model laid beside each other, with a control for overlap by chance."""

import random
from collections.abc import Hashable, Mapping
from typing import Any

from workbench.core import CircuitGraph, Result, child

from .agreement import agreement
from .group_config import CompareConfig
from .match import Edge, Matched, matched, matching

NOTES = (
    "overlap = sum of the smaller over sum of the larger influence, name by name; 1 for equal graphs, 0 for disjoint",
    "shuffled: the second graph's features renamed within their layer (drawn by seed): what overlap chance gives",
    "edge numbers are shares of each graph's edge influence; raw weights into different nodes have different units",
)


def compare(one: CircuitGraph, two: CircuitGraph, config: CompareConfig | None = None) -> Result:
    """How far two graphs agree (kind `graph_comparison`).

    Tables: `scores` (what, graphs, shuffled_mean, shuffled_highest), `nodes` and `edges` (largest difference first).

    Raises:
        ConfigError: graphs of different models; see `matching`.
    """
    config = config or CompareConfig()
    how = matching([one, two], config)
    first, second = matched(one, how), matched(two, how)
    shuffles = [_renamed(second, child(config.seed, "compare", number)) for number in range(config.shuffles)]
    scores = _scores(first, second)
    by_chance = [_scores(first, shuffled) for shuffled in shuffles]
    rows = [{"score": name, "graphs": value, **_chance([s[name] for s in by_chance])} for name, value in scores.items()]
    told = agreement(*_columns(first.effect, second.effect))
    return Result(
        kind="graph_comparison",
        scalars={**scores, "effect_r": told["r"], "effect_rho": told["rho"], "effect_sign": told["sign"]},
        tables={
            "scores": rows,
            "nodes": _nodes(first, second)[: config.rows],
            "edges": _edges(first, second)[: config.rows],
        },
        params={
            **config.model_dump(),
            "matched": how,
            "prompts": [one.prompt, two.prompt],
            "metrics": [one.metric, two.metric],
        },
        inputs={"first": one.manifest.content_hash, "second": two.manifest.content_hash},
        notes=(f"nodes are matched by {how}", *NOTES),
        seed=config.seed,
    )


def overlap(one: Mapping[Any, float], two: Mapping[Any, float]) -> float:
    """Weighted Jaccard index of two non-negative measures."""
    names = {*one, *two}
    larger = sum(max(one.get(name, 0.0), two.get(name, 0.0)) for name in names)
    smaller = sum(min(one.get(name, 0.0), two.get(name, 0.0)) for name in names)
    return smaller / larger if larger else float("nan")


def _features(values: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in values.items() if not name.startswith(("embed", "error", "logit"))}


def _scores(one: Matched, two: Matched) -> dict[str, float]:
    first, second = _features(one.influence), _features(two.influence)
    found = {
        "node_overlap": overlap(one.influence, two.influence),
        "feature_overlap": overlap(first, second),
        "edge_overlap": overlap(one.edges, two.edges),
        "edge_sign": _same_sign(one.signed, two.signed),
    }
    for n in (10, 30, 100):
        if min(len(first), len(second)) >= n:
            found[f"top_{n}_features"] = len(_top(first, n) & _top(second, n)) / n
    return found


def _top(values: Mapping[str, float], n: int) -> set[str]:
    return set(sorted(values, key=lambda name: (-values[name], name))[:n])


def _same_sign(one: Mapping[Edge, float], two: Mapping[Edge, float]) -> float:
    shared = [one[edge] * two[edge] > 0 for edge in one if two.get(edge) and one[edge]]
    return sum(shared) / len(shared) if shared else float("nan")


def _chance(values: list[float]) -> dict[str, float]:
    known = [value for value in values if value == value]
    if not known:
        return {"shuffled_mean": float("nan"), "shuffled_highest": float("nan")}
    return {"shuffled_mean": sum(known) / len(known), "shuffled_highest": max(known)}


def _renamed(told: Matched, seed: int) -> Matched:
    """The same graph with the features of each layer (and place) exchanged among each other."""
    draw, homes = random.Random(seed), {}
    for name in _features(told.influence):
        kind, layer, rest = name.split(":", 2)
        homes.setdefault((kind, layer, rest.partition("@")[2]), []).append(name)
    names: dict[Hashable, str] = {}
    for (kind, layer, place), members in homes.items():
        # Numbers that neither graph need hold: a feature keeps its layer and place, not who it is.
        width = max(int(member.split(":")[2].partition("@")[0]) for member in members) + 1
        fresh = draw.sample(range(max(width, len(members))), len(members))
        for member, index in zip(members, fresh, strict=True):
            names[member] = f"{kind}:{layer}:{index}" + (f"@{place}" if place else "")
    return Matched(
        {str(names.get(name, name)): value for name, value in told.effect.items()},
        {str(names.get(name, name)): value for name, value in told.influence.items()},
        {(str(names.get(s, s)), str(names.get(t, t))): value for (s, t), value in told.edges.items()},
        {(str(names.get(s, s)), str(names.get(t, t))): value for (s, t), value in told.signed.items()},
    )


def _columns(one: Mapping[str, float], two: Mapping[str, float]) -> tuple[list[float], list[float]]:
    names = sorted({*one, *two})
    return [one.get(name, 0.0) for name in names], [two.get(name, 0.0) for name in names]


def _nodes(one: Matched, two: Matched) -> list[dict[str, Any]]:
    rows = [
        {
            "node": name,
            "effect_first": one.effect.get(name, 0.0),
            "effect_second": two.effect.get(name, 0.0),
            "influence_first": one.influence.get(name, 0.0),
            "influence_second": two.influence.get(name, 0.0),
            "difference": two.effect.get(name, 0.0) - one.effect.get(name, 0.0),
        }
        for name in {*one.effect, *two.effect}
    ]
    return sorted(rows, key=lambda row: (-abs(row["difference"]), row["node"]))


def _edges(one: Matched, two: Matched) -> list[dict[str, Any]]:
    rows = [
        {
            "source": edge[0],
            "target": edge[1],
            "first": one.signed.get(edge, 0.0),
            "second": two.signed.get(edge, 0.0),
            "difference": two.signed.get(edge, 0.0) - one.signed.get(edge, 0.0),
        }
        for edge in {*one.edges, *two.edges}
    ]
    return sorted(rows, key=lambda row: (-abs(row["difference"]), row["source"], row["target"]))
