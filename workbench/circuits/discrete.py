"""Circuit identification by discrete codes (O'Neill and Bui 2024, arXiv 2405.12522).

One sparse autoencoder is trained on what heads (and MLPs) write into the residual stream for a few prompts; a
component's code for a prompt is its strongest feature. A component counts as many codes as it has for clean prompts
and never for corrupted ones; a pair of components counts its co-occurring codes likewise. Both see only what goes
along with the task: the baseline of one line, `mean_difference`, must be reported beside them.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.core import Progress, Result, Silent, child, generator, get
from workbench.dictionaries import Dictionary, dictionaries_for_layers
from workbench.models import HookedModel
from workbench.training import TrainConfig, fit

from .component_model import ComponentModel
from .component_scores import KIND, stop_if_cancelled
from .components import Components
from .contrast import Pairs, contrast_of
from .discrete_config import DiscreteConfig
from .discrete_rows import FixedRows, OutputRows, output_rows

_FAMILY = "relu-sae"


def discrete(
    model: HookedModel, pairs: Pairs, config: DiscreteConfig | None = None, progress: Progress | None = None
) -> Result:
    """Score nodes and edges by codes that clean prompts have and corrupted ones never.

    Tables: `nodes` (node, score, and `votes`: how often it is in the better half of the pairs, the paper's edge
    level), `edges` (edge between heads and MLPs, score; a pair scores the same whatever is read there). Scores are
    means over trials. Scalars: `codes_used`, mean number of different codes.

    Raises:
        TextError: pairs that do not fit together. Interrupted: cancelled.
    """
    config, progress = config or DiscreteConfig(), progress or Silent()
    return discrete_from_rows(model, read_outputs(model, pairs, config, progress), config, progress)


def read_outputs(
    model: HookedModel, pairs: Pairs, config: DiscreteConfig, progress: Progress | None = None
) -> OutputRows:
    """What the scored components write for every prompt and its corrupted twin.

    Raises:
        TextError: pairs that do not fit together. Interrupted: cancelled.
    """
    parts, sources = _open(model, config)
    contrast = contrast_of(model, pairs)
    return output_rows(parts, contrast, sources, config.position, config.batch, progress or Silent())


def discrete_from_rows(
    model: HookedModel, rows: OutputRows, config: DiscreteConfig, progress: Progress | None = None
) -> Result:
    """The same from outputs that were read before, of the sources that the config names."""
    progress = progress or Silent()
    parts, sources = _open(model, config)
    pairs = _pairs(parts.components, sources)
    nodes, edges, used = np.zeros(len(sources)), np.zeros(len(pairs)), []
    progress.phase("training autoencoders", config.trials, "autoencoders")
    for trial in range(config.trials):
        stop_if_cancelled(progress)
        seed = child(config.seed, "trial", trial)
        sae = _train(rows, config, seed)
        positive, negative = (_codes(sae, side) for side in (rows.positive, rows.negative))
        nodes += node_counts(positive, negative, config.relative) / config.trials
        edges += edge_counts(positive, negative, pairs, config.relative) / config.trials
        used.append(len(torch.cat([positive, negative]).unique()))
        progress.advance()
    votes = _votes(edges, pairs, len(sources))
    names = parts.components.sources
    return Result(
        kind=KIND,
        scalars={"codes_used": sum(used) / len(used)},
        tables={
            "nodes": [
                {"node": names[source], "score": float(score), "votes": int(vote)}
                for source, score, vote in zip(sources, nodes, votes, strict=True)
            ],
            "edges": _edge_rows(parts.components, sources, pairs, edges),
        },
        params={"scorer": "discrete codes", "level": "edge", **config.model_dump(mode="json")},
        inputs={"model": model.ref.weight_hash},
        notes=(
            "score: codes (edges: co-occurring pairs of codes) of the clean prompts that no corrupted prompt has",
            "it says what goes along with the task, not what causes the answer: see mean_difference beside it",
        ),
        seed=config.seed,
    )


def node_counts(positive: Int[Tensor, "n s"], negative: Int[Tensor, "m s"], relative: bool) -> np.ndarray:
    """Per component the number of codes that are on the positive side and never on the negative one."""
    return np.array([_count(positive[:, s], negative[:, s], relative) for s in range(positive.shape[1])])


def edge_counts(
    positive: Int[Tensor, "n s"], negative: Int[Tensor, "m s"], pairs: list[tuple[int, int]], relative: bool
) -> np.ndarray:
    """Per pair of components the number of pairs of codes that co-occur on the positive side only."""
    width = int(max(positive.max(), negative.max())) + 1

    def together(codes: Tensor, a: int, b: int) -> Tensor:
        return codes[:, a] * width + codes[:, b]

    return np.array([_count(together(positive, a, b), together(negative, a, b), relative) for a, b in pairs])


def _count(positive: Tensor, negative: Tensor, relative: bool) -> float:
    here, there = set(positive.tolist()), set(negative.tolist())
    return len(here - there) / (len(here | there) if relative else 1)


def _open(model: HookedModel, config: DiscreteConfig) -> tuple[ComponentModel, list[int]]:
    """The model's parts and the numbers of the sources that are scored."""
    parts = ComponentModel(model)
    names = parts.components.sources
    return parts, [i for i, name in enumerate(names) if name[0] == "a" or (config.mlps and name[0] == "m")]


def _pairs(components: Components, sources: list[int]) -> list[tuple[int, int]]:
    """Places in `sources` of every two of which the first can feed the second."""

    def reach(name: str) -> int:
        layer = int(name[1:].split(".")[0])
        return components.visible(layer, mlp=name[0] == "m")

    names = [components.sources[source] for source in sources]
    return [(a, b) for b, name in enumerate(names) for a, source in enumerate(sources) if source < reach(name)]


def _edge_rows(
    components: Components, sources: list[int], pairs: list[tuple[int, int]], scores: np.ndarray
) -> list[dict[str, Any]]:
    """A pair's score for every edge between the two; the best pair's where heads share keys and values."""
    names = [components.sources[source] for source in sources]
    known = {(names[a], names[b]): float(score) for (a, b), score in zip(pairs, scores, strict=True)}
    rows = []
    for reader, source in components.allowed.nonzero().tolist():
        start, ends = components.sources[source], components.nodes_of_reader(reader)
        found = [known[start, end] for end in ends if (start, end) in known]
        if found:
            rows.append({"edge": f"{start}->{components.readers[reader]}", "score": max(found)})
    return rows


def _votes(edges: np.ndarray, pairs: list[tuple[int, int]], count: int) -> np.ndarray:
    """How often each component is in the better half of the pairs (the paper's k is half of all)."""
    votes = np.zeros(count, dtype=int)
    for place in np.argsort(-edges, kind="stable")[: len(pairs) // 2]:
        for end in pairs[place]:
            votes[end] += 1
    return votes


def _train(rows: OutputRows, config: DiscreteConfig, seed: int) -> Callable[[Tensor], Tensor]:
    """An autoencoder on the outputs of some prompts of both sides; returns what gives a row its code."""
    both = torch.cat([rows.positive, rows.negative])
    chosen = torch.randperm(len(both), generator=generator(seed, "examples"))[: config.examples]
    kind: type[Dictionary] = get("dictionary", _FAMILY)
    settings = kind.config_class.parse({"d_sae": config.codes, "l1": config.l1, "start": "random"})
    fresh = dictionaries_for_layers(_FAMILY, [0], both.shape[-1], settings, "codes")
    (site,) = {site for dictionary in fresh.values() for site in dictionary.reads}
    data = FixedRows(both[chosen].flatten(0, 1), site)
    train = TrainConfig(
        steps=config.steps, replays=config.steps, batch_rows=len(data.rows), lr=config.lr, outlier_factor=None,
        seed=child(seed, "train") % 2**31,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        (sae,) = fit(fresh, data, Path(folder) / "codes", train).dictionaries.values()

    @torch.no_grad()
    def code(x: Float[Tensor, "n d"]) -> Int[Tensor, " n"]:
        dense = sae.encode({site: x}).dense()
        return torch.where(dense.amax(1) > 0, dense.argmax(1), dense.shape[1])

    return code


def _codes(code: Callable[[Tensor], Tensor], rows: Float[Tensor, "n sources d"]) -> Int[Tensor, "n sources"]:
    return code(rows.flatten(0, 1)).unflatten(0, rows.shape[:2])
