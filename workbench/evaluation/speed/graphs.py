"""Attribution graphs of one prompt beside the bare products of their pull-backs."""

import dataclasses
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from sparse_kernels import speed
from workbench.circuits import Target, TraceConfig, trace
from workbench.core import CircuitGraph, ConfigError, Progress, Result, Silent, generator, register
from workbench.dictionaries import CoderConfig, Dictionary, DictionarySet, dictionaries_for_layers
from workbench.models import HookedModel, load_model

from .comparison import Comparison, Operands, compare, device_of, threads
from .config import GraphBenchConfig
from .machine import peak_memory

TRACE, PRODUCTS = "trace", "bare products"
ROWS_AT_ONCE = 4096
FAMILIES = {False: "topk-transcoder", True: "topk-skip-transcoder"}


@register("benchmark", "graphs")
def bench_graphs(config: GraphBenchConfig | None = None, progress: Progress | None = None) -> Result:
    """Time and memory of attribution graphs, with and without skip paths, bounded and whole.

    Table `graphs`: one row for each case. Scalars: `held_mb` (the process's peak with the model loaded, before any
    dictionary), `peak_mb` (at the end), and for every graph its active features, expanded features and edges.

    Raises:
        ConfigError: an unknown device, or a prompt longer than the model's context.
        ModelError: see `load_model`. Interrupted: cancelled before anything was measured.
    """
    config, progress = (config or GraphBenchConfig()).reduced(), progress or Silent()
    device = device_of(config)
    scalars: dict[str, float] = {}
    with threads(config):
        model = load_model(config.model, device=str(device), dtype="float32", offline=config.offline, progress=progress)
        if config.tokens > model.shape.n_ctx:
            raise ConfigError(f"wanted {config.tokens} tokens", f"the model's context holds {model.shape.n_ctx}")
        scalars["held_mb"] = peak_memory() / 1e6
        result = compare("graphs", _comparisons(config, model, scalars), config, progress, _NOTES)
    scalars["peak_mb"] = max(peak_memory() / 1e6, scalars["held_mb"])  # whoever resets the peak forgets the first
    return dataclasses.replace(result, scalars={**result.scalars, **scalars})


def _comparisons(config: GraphBenchConfig, model: HookedModel, scalars: dict[str, float]) -> Iterator[Comparison]:
    operands = Operands(config.seed, device_of(config))
    ids = operands.index(config.tokens, below=model.shape.d_vocab)
    if model.tokenizer is not None and model.tokenizer.bos_id is not None:
        ids[0] = model.tokenizer.bos_id
    target = Target.difference(*operands.index(2, below=model.shape.d_vocab).tolist())
    for k, limit in ((config.k, config.feature_nodes), (config.few, None)):
        for skip in (False, True):
            yield _comparison(config, model, ids, target, k, limit, skip, scalars)


def _comparison(
    config: GraphBenchConfig,
    model: HookedModel,
    ids: Tensor,
    target: Target,
    k: int,
    limit: int | None,
    skip: bool,
    scalars: dict[str, float],
) -> Comparison:
    dictionaries = random_set(model, FAMILIES[skip], config.features, k, config.seed)
    settings = TraceConfig(max_feature_nodes=limit)
    graph = trace(model, dictionaries, ids, target, settings)
    name = f"k {k}{', skip' if skip else ''}"
    expanded = len(graph.find("feature"))
    scalars |= {f"active, {name}": graph.scores["n_features"], f"edges, {name}": float(len(graph.weight))}
    scalars[f"expanded, {name}"] = float(expanded)
    rows = covector_rows(graph)
    products, flops = _products(model, rows, skip)
    cases = (
        speed.Case(TRACE, lambda: trace(model, dictionaries, ids, target, settings), "torch", flops),
        speed.Case(PRODUCTS, products, "torch", flops),
    )
    shape = f"{config.tokens} tokens, k {k}, {expanded} of {int(graph.scores['n_features'])} features"
    return Comparison(f"graph {config.model}{', skip' if skip else ''}", shape, "float32", cases, PRODUCTS)


def covector_rows(graph: CircuitGraph) -> int:
    """Rows that pass through a layer, summed over layers: a target sees its own and all earlier positions."""
    targets = [node for node in graph.nodes if node.kind in ("feature", "logit")]
    return sum((node.position + 1) * node.layer for node in targets)


def random_set(model: HookedModel, family: str, features: int, k: int, seed: int) -> DictionarySet:
    """Transcoders with random rows of unit norm for every layer."""
    layers = range(model.shape.n_layers)
    found = dictionaries_for_layers(family, layers, model.shape.d_model, CoderConfig(d_sae=features, k=k), "random")
    for number, dictionary in enumerate(found.values()):
        _randomise(dictionary.to(model.device), generator(seed, "random transcoder", number))
    return found


@torch.no_grad()
def _randomise(dictionary: Dictionary, draw: torch.Generator) -> None:
    for parameter in dictionary.parameters():
        if parameter.ndim == 2:
            values = torch.randn(parameter.shape, generator=draw)
            parameter.copy_(values / parameter.shape[1] ** 0.5)


def _products(model: HookedModel, rows: int, skip: bool) -> tuple[Callable[[], None], float]:
    """The large products that pulling so many rows through one layer takes, without anything around them."""
    shape = model.shape
    d, heads, values = shape.d_model, shape.n_heads * shape.d_head, shape.n_kv_heads * shape.d_head
    sizes = [(d, heads), (values, d), *([(d, d)] if skip else [])]
    made = []
    for inner, outer in sizes:
        operands = (torch.randn(ROWS_AT_ONCE, inner), torch.randn(inner, outer), torch.empty(ROWS_AT_ONCE, outer))
        made.append([tensor.to(model.device) for tensor in operands])

    @torch.no_grad()
    def run() -> None:
        for first in range(0, rows, ROWS_AT_ONCE):
            n = min(ROWS_AT_ONCE, rows - first)
            for x, weight, out in made:
                torch.mm(x[:n], weight, out=out[:n])

    return run, 2.0 * rows * sum(inner * outer for inner, outer in sizes)


_NOTES = (
    f"{TRACE}: a prompt of random tokens (BOS first) to a graph in memory: run, encoding, influence, edges, scores.",
    f"{PRODUCTS}: the attention's output and value products (and the skip product) for every row that the expanded "
    "features pull through a layer, in float32, on operands that stay in the cache.",
    "Dictionaries have random rows of unit norm; which features are active does not change the amount of work.",
    "peak_mb: the process's highest resident memory so far, model, dictionaries and graphs together.",
)
