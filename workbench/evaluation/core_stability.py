"""How much of a text's core changes when tokens are added to it (CoreInfer, figure on stability)."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core import Progress, Result, Silent
from workbench.data import PackedText
from workbench.models import PlainModel
from workbench.sparsity import Core, CoreCounter, SparseModel, overlap

from .bootstrap import ratio
from .config import EvaluateConfig
from .core_config import CoreStabilityConfig
from .core_loss import long_enough

PAPER = {(256, 8): 0.03, (256, 64): 0.06}
"""Share of core neurons that change, OPT-6.7B."""


class Hidden:
    """Keeps the hidden values of one text at one layer."""

    def __init__(self) -> None:
        self.values: Float[Tensor, "t m"] = torch.empty(0, 0)

    def add(self, hidden: Float[Tensor, "t m"], /) -> None:
        self.values = hidden


@torch.no_grad()
def core_stability(
    model: PlainModel, text: PackedText, config: CoreStabilityConfig | None = None, progress: Progress | None = None
) -> Result:
    """The share of core neurons that leave when tokens are added, mean over layers and texts.

    Table `stability`: one row for each prefix and number of added tokens, and `another text` as the scale: how much
    the cores of two texts differ at that length. Table `layers`: the same for each layer.

    Raises:
        TextError: no text of that length. ModelError: MLPs that are not known.
    """
    config, progress = config or CoreStabilityConfig(), progress or Silent()
    sparse = SparseModel(model)
    rows = long_enough(text, config.longest, config.sequences)
    progress.phase("cores of growing texts", len(rows), "texts")
    pairs = [(prefix, added) for prefix in config.prefixes for added in config.added]
    changes: dict[tuple[int, int], list[list[float]]] = {pair: [] for pair in pairs}
    others: dict[int, list[list[float]]] = {prefix: [] for prefix in config.prefixes}
    before: dict[int, list[Core]] = {}
    documents, partial = [], False
    with sparse.sparse():
        for row in rows.tolist():
            if partial := progress.cancelled():
                break
            hidden = [Hidden() for _ in sparse.mlps]
            sparse.read(text.ids[row, : config.longest].long(), hidden)
            lengths = {*config.prefixes, *(prefix + added for prefix, added in pairs)}
            cores = {length: _cores(hidden, length - sparse.skip_first, config) for length in lengths}
            for prefix, added in pairs:
                changes[prefix, added].append(_changes(cores[prefix], cores[prefix + added]))
            for prefix in config.prefixes:
                if before:
                    others[prefix].append(_changes(cores[prefix], before[prefix]))
            before = {prefix: cores[prefix] for prefix in config.prefixes}
            documents.append(int(text.document[row]))
            progress.advance()
    records = [
        _record(prefix, f"{added} tokens more", found, documents, config, PAPER.get((prefix, added)))
        for (prefix, added), found in changes.items()
    ]
    records += [_record(prefix, "another text", others[prefix], documents[1:], config) for prefix in config.prefixes]
    layers = [
        {"layer": layer, "prefix": prefix, "added": added, "change": float(np.mean([one[layer] for one in found]))}
        for (prefix, added), found in changes.items()
        for layer in range(len(sparse.mlps) if found else 0)
    ]
    return Result(
        kind="core_stability",
        tables={"stability": records, "layers": layers},
        params=config.model_dump(mode="json") | {"model": model.name},
        inputs={"text": text.hash},
        notes=_NOTES,
        seed=config.seed,
        partial=partial,
    )


def _cores(hidden: list[Hidden], tokens: int, config: CoreStabilityConfig) -> list[Core]:
    cores = []
    for layer in hidden:
        counter = CoreCounter(layer.values.shape[1], config.alpha)
        counter.add(layer.values[:tokens])
        cores.append(counter.core(config.beta))
    return cores


def _changes(first: list[Core], second: list[Core]) -> list[float]:
    return [1 - overlap([mine], [other]) for mine, other in zip(first, second, strict=True)]


def _record(
    prefix: int,
    against: str,
    changes: list[list[float]],
    documents: list[int],
    config: CoreStabilityConfig,
    paper: float | None = None,
) -> dict:
    means = np.array([float(np.mean(one)) for one in changes])
    sums, counts = (np.bincount(documents[: len(means)], weights=w) for w in (means, np.ones(len(means))))
    found = ratio(sums[counts > 0], counts[counts > 0], EvaluateConfig(seed=config.seed))
    return {
        "prefix": prefix,
        "against": against,
        "change": found.value,
        "change_low": found.low,
        "change_high": found.high,
        "texts": len(means),
        "paper": paper,
    }


_NOTES = (
    "change: the share of the prefix's core neurons that are not in the other core, mean over layers and texts; the "
    "first token does not count; intervals are 95 % bootstraps over documents",
    "the paper's figures are those of OPT-6.7B with its positive activations",
)
