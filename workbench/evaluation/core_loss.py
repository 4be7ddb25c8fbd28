"""What generation on some of the neurons costs: a text is read densely, the rest of it follows on the chosen ones."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.core import Progress, Result, Silent, TextError, child
from workbench.data import PackedText
from workbench.models import PlainModel
from workbench.sparsity import Choice, CoreCounter, SparseModel, TokenOracle, random_core

from .batches import spread
from .bootstrap import ratio
from .config import EvaluateConfig
from .core_config import CoreLossConfig

DENSE = "dense"
FIXED, GATE, ORACLE, RANDOM = "fixed core", "token, by gate", "token, oracle", "random core"


class Way(NamedTuple):
    """One way to choose at one share of the neurons: `make` looks at what was read of a text, and at its number."""

    name: str
    share: float
    make: Callable[[SparseModel, Sequence[CoreCounter], int], Sequence[Choice]]


def ways(config: CoreLossConfig, model: SparseModel, names: Sequence[str] = (FIXED, GATE, ORACLE, RANDOM)) -> list[Way]:
    """The four ways at every share; what does not depend on the text is made once."""
    found = []
    for share in config.shares:
        kept = {GATE: model.by_token(share), ORACLE: [TokenOracle(mlp, share) for mlp in model.mlps]}
        makers = {
            FIXED: lambda m, counters, _, share=share: m.fixed([counter.core(share) for counter in counters]),
            GATE: lambda *_, made=kept[GATE]: made,
            ORACLE: lambda *_, made=kept[ORACLE]: made,
            RANDOM: lambda m, _, number, share=share: m.fixed(
                [
                    random_core(m.neurons, share, child(config.seed, "text", number), layer)
                    for layer in range(len(m.mlps))
                ]
            ),
        }
        found += [Way(name, share, makers[name]) for name in names]
    return found


class Losses:
    """Sums over the tokens of each document: next-token loss and agreement with the dense model's first choice."""

    def __init__(self, documents: int) -> None:
        self.loss, self.agreed, self.tokens = (np.zeros(documents) for _ in range(3))

    def add(self, document: int, logits: Float[Tensor, "t v"], following: Int[Tensor, " t"], first: Tensor) -> None:
        found = logits.float().log_softmax(1)
        self.loss[document] -= float(found.gather(1, following[:, None]).double().sum())
        self.agreed[document] += int((found.argmax(1) == first).sum())
        self.tokens[document] += len(following)


def core_loss(
    model: PlainModel, text: PackedText, config: CoreLossConfig | None = None, progress: Progress | None = None
) -> Result:
    """Loss with a fixed core (CoreInfer), each token's neurons by the gate, the oracle's, and a random core.

    Table `loss`: one row for each way and share, with loss above the dense model's in nats (95 % bootstrap over
    documents, paired), perplexity over the dense model's, and agreement of the first choice.

    Raises:
        TextError: no text of `prefix` + `follow` tokens. ModelError: MLPs that are not known.
    """
    config = config or CoreLossConfig()
    sparse = SparseModel(model)
    return measure_ways(sparse, text, ways(config, sparse), config, progress)


@torch.no_grad()
def measure_ways(
    sparse: SparseModel,
    text: PackedText,
    chosen: Sequence[Way],
    config: CoreLossConfig,
    progress: Progress | None = None,
) -> Result:
    """`core_loss` for any ways; all follow the same dense reading of each text."""
    progress = progress or Silent()
    rows = long_enough(text, config.prefix + config.follow, config.sequences)
    sums = {key: Losses(len(text.document_ids)) for key in [(DENSE, 1.0), *((way.name, way.share) for way in chosen)]}
    progress.phase("loss on some of the neurons", len(rows), "texts")
    partial = False
    with sparse.sparse():
        for number, row in enumerate(rows.tolist()):
            if partial := progress.cancelled():
                break
            for key, logits, following, first in _follow(sparse, text.ids[row].long(), chosen, config, number):
                sums[key].add(int(text.document[row]), logits, following, first)
            progress.advance()
    return Result(
        kind="core_loss",
        tables={"loss": _records(sums, config.seed)},
        params=config.model_dump(mode="json") | {"model": sparse.plain.name},
        inputs={"text": text.hash},
        notes=_NOTES,
        seed=config.seed,
        partial=partial,
    )


def long_enough(text: PackedText, tokens: int, count: int) -> Int[Tensor, " n"]:
    """So many sequences of at least `tokens` tokens, spread over the text.

    Raises:
        TextError: there is none.
    """
    fitting = (text.lengths >= tokens).nonzero().flatten()
    if not len(fitting):
        raise TextError(
            f"wanted texts of {tokens} tokens",
            f"the longest has {int(text.lengths.max())}",
            "pack longer sequences (--sequence-length) or take a text with longer documents",
        )
    return fitting[spread(len(fitting), count)]


def _follow(
    sparse: SparseModel, ids: Int[Tensor, " t"], chosen: Sequence[Way], config: CoreLossConfig, number: int
) -> Iterator[tuple[tuple[str, float], Tensor, Tensor, Tensor]]:
    """Every way's logits on the tokens that follow one text; dense first."""
    counters = sparse.counters(config.alpha)
    sparse.read(ids[: config.prefix], counters)
    rest = ids[config.prefix : config.prefix + config.follow]
    dense = sparse.follow(rest)[:-1]
    first, following = dense.argmax(1), rest[1:]
    yield (DENSE, 1.0), dense, following, first
    for way in chosen:
        sparse.choose(way.make(sparse, counters, number))
        yield (way.name, way.share), sparse.follow(rest)[:-1], following, first


def _records(sums: Mapping[tuple[str, float], Losses], seed: int) -> list[dict]:
    settings = EvaluateConfig(seed=seed)
    dense = sums[DENSE, 1.0]
    seen = dense.tokens > 0
    records = []
    for (name, share), found in sums.items():
        loss = ratio(found.loss[seen], found.tokens[seen], settings)
        above = ratio((found.loss - dense.loss)[seen], found.tokens[seen], settings)
        records.append(
            {
                "way": name,
                "share": share,
                "loss": loss.value,
                "above_dense": above.value,
                "above_dense_low": above.low,
                "above_dense_high": above.high,
                "perplexity_ratio": float(np.exp(above.value)),
                "perplexity_ratio_low": float(np.exp(above.low)),
                "perplexity_ratio_high": float(np.exp(above.high)),
                "agreement": float(found.agreed[seen].sum() / found.tokens[seen].sum()),
                "tokens": int(found.tokens.sum()),
                "documents": int(seen.sum()),
            }
        )
    return records


_NOTES = (
    "the prefix is read densely; of each way only the tokens that follow run on the chosen neurons, all on the same "
    "keys and values of the prefix",
    "fixed core: the share of a layer's neurons that most tokens of the prefix (but its first) have among their "
    "strongest (CoreInfer, |h| for positive activations); random core: as many, drawn anew for every text",
    "token, by gate: each token's neurons with the largest activated gates, as they can really be chosen; token, "
    "oracle: those with the largest hidden values, known only after everything was computed",
    "intervals: 95 % percentile bootstrap over documents of the difference to the dense model",
)
