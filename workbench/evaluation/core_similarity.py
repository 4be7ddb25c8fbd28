"""Whether texts of like meaning have like cores (CoreInfer), on sentences written for it."""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import torch
from jaxtyping import Float
from scipy.stats import spearmanr
from torch import Tensor

from workbench.core import ModelError, Progress, Result, Silent
from workbench.models import PlainModel
from workbench.sparsity import Core, SparseModel, overlap

from .bootstrap import resamples
from .core_config import CoreSimilarityConfig
from .paraphrases import PARAPHRASES, Paraphrase

PAPER = {"OPT-6.7b": (0.56, 0.42), "LLaMA2-7b": (0.66, 0.49), "LLaMA3.1-8b": (0.65, 0.51)}
"""Spearman of core similarity with people's judgement of similarity, on STS-B and SICK."""
GRADES = {"same": 2, "related": 1, "unrelated": 0}
_DRAWS = 1000


@torch.no_grad()
def core_similarity(
    model: PlainModel,
    config: CoreSimilarityConfig | None = None,
    sentences: Sequence[Paraphrase] = PARAPHRASES,
    progress: Progress | None = None,
) -> Result:
    """Overlap of sentence cores beside meaning, cosine of embeddings, and shared words.

    Table `similarity`: Spearman's rank correlations over all pairs. Table `grades`: means for pairs that say the
    same, that share a subject, and that share nothing. The embeddings are the model's own.

    Raises:
        ModelError: no tokenizer, no such layer, or MLPs that are not known.
    """
    config, progress = config or CoreSimilarityConfig(), progress or Silent()
    if model.tokenizer is None:
        raise ModelError("this model has no tokenizer", hint="sentences need one")
    sparse = SparseModel(model)
    texts = [text for group in sentences for text in group]
    progress.phase("cores of sentences", len(texts), "sentences")
    cores, embeddings, words = [], [], []
    with sparse.sparse():
        for text in texts:
            ids = torch.tensor([*_bos(model), *model.tokenizer.encode(text)])
            cores.append(core_of(sparse, ids, config.alpha, config.beta))
            embeddings.append(embed(model, ids, config.layer))
            words.append(set(model.tokenizer.encode(text)))
            progress.advance()
    pairs = list(combinations(range(len(texts)), 2))
    measures = {
        "meaning, graded by hand": np.array([_grade(a, b) for a, b in pairs], float),
        "core overlap": np.array([overlap(cores[a], cores[b]) for a, b in pairs]),
        "cosine of embeddings": np.array([float(embeddings[a] @ embeddings[b]) for a, b in pairs]),
        "shared tokens": np.array([len(words[a] & words[b]) / len(words[a] | words[b]) for a, b in pairs]),
    }
    groups = np.array([(a // 3, b // 3) for a, b in pairs])
    return Result(
        kind="core_similarity",
        tables={"similarity": _correlations(measures, groups, config.seed), "grades": _means(measures)},
        arrays={name.replace(" ", "_").replace(",", ""): values for name, values in measures.items()},
        params=config.model_dump(mode="json") | {"model": model.name, "sentences": len(texts)},
        notes=_NOTES,
        seed=config.seed,
    )


def core_of(sparse: SparseModel, ids: Tensor, alpha: float, beta: float) -> list[Core]:
    """The sentence core of one text at every layer; inside `sparse.sparse()`."""
    counters = sparse.counters(alpha)
    sparse.read(ids, counters)
    return [counter.core(beta) for counter in counters]


def embed(model: PlainModel, ids: Tensor, layer: int | None = None) -> Float[Tensor, " d"]:
    """The mean of the residual stream after a layer over all tokens but the first, of unit length.

    Raises:
        ModelError: no such layer.
    """
    layer = len(model.blocks) // 2 if layer is None else layer
    if layer >= len(model.blocks):
        raise ModelError(f"no layer {layer} in {model.name}", f"it has {len(model.blocks)}")
    mean = model.capture(ids[None], layer)[0, 1:].float().mean(0)
    return mean / mean.norm()


def _bos(model: PlainModel) -> list[int]:
    return [] if model.tokenizer.bos_id is None else [model.tokenizer.bos_id]


def _grade(first: int, second: int) -> int:
    """Sentences stand in threes: sentence, paraphrase, other statement."""
    if first // 3 != second // 3:
        return GRADES["unrelated"]
    return GRADES["same"] if (first % 3, second % 3) == (0, 1) else GRADES["related"]


def _correlations(measures: dict[str, np.ndarray], groups: np.ndarray, seed: int) -> list[dict]:
    within = groups[:, 0] == groups[:, 1]
    pairs = [
        ("core overlap", "meaning, graded by hand", slice(None)),
        ("cosine of embeddings", "meaning, graded by hand", slice(None)),
        ("shared tokens", "meaning, graded by hand", slice(None)),
        ("core overlap", "cosine of embeddings", slice(None)),
        ("core overlap", "shared tokens", slice(None)),
        ("core overlap", "cosine of embeddings", within),
        ("core overlap", "meaning, graded by hand", within),
    ]
    draws = resamples(int(groups.max()) + 1, _DRAWS, seed)
    records = []
    for first, second, chosen in pairs:
        x, y, mine = measures[first][chosen], measures[second][chosen], groups[chosen]
        weights = draws[:, mine[:, 0]] * draws[:, mine[:, 1]]
        low, high = np.nanquantile([_spearman(np.repeat(x, w), np.repeat(y, w)) for w in weights.astype(int)[:200]],
                                [0.025, 0.975])  # fmt: skip
        records.append(
            {
                "of": first,
                "with": second,
                "pairs_of": "one subject" if chosen is within else "all",
                "spearman": _spearman(x, y),
                "spearman_low": float(low),
                "spearman_high": float(high),
                "pairs": len(x),
            }
        )
    return records


def _spearman(x: np.ndarray, y: np.ndarray) -> float:
    """nan where one of them is constant."""
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    return float(spearmanr(x, y).statistic)  # pyright: ignore[reportAttributeAccessIssue]


def _means(measures: dict[str, np.ndarray]) -> list[dict]:
    graded = measures["meaning, graded by hand"]
    names = [name for name in measures if name != "meaning, graded by hand"]
    return [
        {"pairs": name, "count": int((graded == grade).sum())}
        | {measure.replace(" ", "_"): float(measures[measure][graded == grade].mean()) for measure in names}
        for name, grade in GRADES.items()
    ]


_NOTES = (
    "72 sentences written for this measurement: a sentence, its paraphrase (grade 2), another statement on its subject "
    "(grade 1); pairs of different subjects have grade 0",
    "embeddings are the model's own residual stream, averaged over tokens: no sentence encoder is involved",
    "intervals: 95 % bootstrap over subjects (both ends of a pair resampled); the paper compares with people's "
    "judgements on STS-B / SICK: " + ", ".join(f"{name} {sts} / {sick}" for name, (sts, sick) in PAPER.items()),
)
