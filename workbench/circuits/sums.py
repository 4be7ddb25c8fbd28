"""Check that a graph adds up: incoming edges, errors and bias against each feature's pre-activation."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.core import CircuitGraph, Result, generator
from workbench.dictionaries import DictionarySet
from workbench.models import HookedModel

from .analysis import Analysis, analyse
from .config import SumConfig, Target


def check_sums(
    model: HookedModel, dictionaries: DictionarySet, graph: CircuitGraph, config: SumConfig | None = None
) -> Result:
    """Edges + errors + bias = pre-activation, on the largest and on drawn features of a graph (kind `sum_check`).

    The edges are pulled anew, all of them (the graph keeps the strongest), and compared with those kept. The bias
    comes from a forward run with every source at zero, the pre-activation from the observed MLP input.
    `ratio` = |difference| / max(|pre-activation|, 1 % of the summed |contributions|).
    """
    config = config or SumConfig()
    with torch.no_grad():
        analysis = analyse(model, dictionaries, torch.tensor(graph.token_ids), target_of(graph))
        nodes, sets = _chosen(analysis, config)
        rows, ids = pulled_rows(analysis, nodes), analysis.ids()
        records = _records(analysis, rows, nodes, sets, ids)
        edge_gap = _kept_edges_gap(rows.cpu(), graph, nodes.cpu(), ids)
    worst = max((record["ratio"] for record in records), default=0.0)
    return Result(
        kind="sum_check",
        scalars={
            "worst_ratio": worst,
            "median_ratio": _median([record["ratio"] for record in records]),
            "n": float(len(records)),
            "median_cancellation": _median(
                [record["contributions"] / max(abs(record["pre_activation"]), 1e-30) for record in records]
            ),
            "kept_edges_gap": edge_gap,
            "metric_value": analysis.value,
            "source_effects": analysis.source_effect(),
            "source_effects_gap": analysis.source_gap(),
        },
        tables={"nodes": records},
        params=config.model_dump(),
        inputs={"graph": graph.manifest.content_hash, dictionaries.name: _hash_of(dictionaries)},
        notes=(
            "ratio = |edges + errors + bias - pre-activation| / max(|pre-activation|, 1 % of summed |contributions|)",
            "source_effects = total linear effects of tokens, errors and biases; they add up to the metric",
            "these sums hold for any dictionary, trained or not: they test the computation, not the model",
        ),
        seed=config.seed,
    )


def target_of(graph: CircuitGraph) -> Target:
    """The target that a graph was traced for."""
    return Target.parse(graph.manifest.config["target"], source="the graph's manifest")


def _hash_of(dictionaries: DictionarySet) -> str:
    return dictionaries.manifest.content_hash if dictionaries.manifest else ""


def _chosen(analysis: Analysis, config: SumConfig) -> tuple[Int[Tensor, " n"], list[str]]:
    units = analysis.unit_nodes
    order = analysis.total[units].abs().argsort(descending=True, stable=True)
    largest, rest = units[order[: config.largest]], units[order[config.largest :]]
    drawn = rest[torch.randperm(len(rest), generator=generator(config.seed, "sum check"))[: config.drawn]]
    return torch.cat([largest, drawn]), ["largest"] * len(largest) + ["drawn"] * len(drawn)


def pulled_rows(analysis: Analysis, nodes: Int[Tensor, " n"]) -> Float[Tensor, "n s"]:
    """All incoming edges of some units, in the order asked."""
    chosen = {}
    for layer, sources in enumerate(analysis.numbering.layers):
        chosen[layer] = torch.nonzero(torch.isin(sources.unit_nodes, nodes))[:, 0]
    rows = analysis.sweep.unit_rows(chosen)
    place = rows.nodes.new_full((analysis.numbering.n_nodes,), -1)
    place[rows.nodes] = torch.arange(len(rows.nodes), device=place.device)
    return rows.weight[place[nodes]]


def _records(
    analysis: Analysis, rows: Float[Tensor, "n s"], nodes: Int[Tensor, " n"], sets: list[str], ids: list[str]
) -> list[dict[str, Any]]:
    bias = analysis.biases()
    error = analysis.numbering.error_mask()[: rows.shape[1]]
    records = []
    for node, row, name in zip(nodes.tolist(), rows, sets, strict=True):
        units, number = analysis.unit(node)
        pre, constant = float(units.pre_activation[number]), float(bias[node])
        edges, errors = float(row[~error].sum()), float(row[error].sum())
        contributions = float(row.abs().sum()) + abs(constant)
        difference = edges + errors + constant - pre
        scale = max(abs(pre), 0.01 * contributions)
        records.append(
            {
                "set": name,
                "node": ids[node],
                "edges": edges,
                "errors": errors,
                "bias": constant,
                "pre_activation": pre,
                "contributions": contributions,
                "difference": difference,
                "ratio": abs(difference) / scale if scale else 0.0,
            }
        )
    return records


def _kept_edges_gap(rows: Float[Tensor, "n s"], graph: CircuitGraph, nodes: Int[Tensor, " n"], ids: list[str]) -> float:
    """Largest difference between a kept edge and the same edge pulled anew, relative to the node's largest."""
    number = {name: place for place, name in enumerate(ids)}
    known = torch.tensor([number[node.id] for node in graph.nodes])
    place = torch.full((len(ids),), -1, dtype=torch.long)
    place[nodes] = torch.arange(len(nodes))
    row, source = place[known[graph.target]], known[graph.source]
    mine = row >= 0
    row, source, weight = row[mine], source[mine], graph.weight[mine]
    if not len(row):
        return 0.0
    return float(((rows[row, source] - weight).abs() / rows.abs().amax(1)[row].clamp(min=1e-30)).max())


def _median(values: list[float]) -> float:
    return float(torch.tensor(values, dtype=torch.float64).median()) if values else float("nan")
