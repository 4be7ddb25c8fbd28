"""Similarity-guided prediction (CoreInfer): a short input takes the core of the training texts that it resembles."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.core import Progress, Result, Silent, child
from workbench.data import PackedText
from workbench.models import PlainModel
from workbench.sparsity import Core, CoreCounter, SparseModel

from .batches import spread
from .core_config import CoreClustersConfig
from .core_loss import FIXED, ORACLE, RANDOM, Way, long_enough, measure_ways, ways
from .core_similarity import embed

SIMILAR, COMMON = "similar texts' core", "all texts' core"


class CoreClusters:
    """Centres of embedded training texts, and for each how often a token of its texts has a neuron in its core."""

    def __init__(self, centres: Float[Tensor, "c d"], counters: Sequence[Sequence[CoreCounter]]) -> None:
        self.centres, self.counters = centres, counters

    def cluster(self, embedding: Float[Tensor, " d"]) -> int:
        """The cluster whose centre is nearest."""
        return int((self.centres - embedding).norm(dim=1).argmin())

    def cores(self, cluster: int, gamma: float) -> list[Core]:
        """The top `gamma` share of neurons of one cluster, layer by layer."""
        return [counter.core(gamma) for counter in self.counters[cluster]]

    def common(self, gamma: float) -> list[Core]:
        """The same over all clusters: what knows nothing of the input."""
        return [_sum(layer).core(gamma) for layer in zip(*self.counters, strict=True)]


@torch.no_grad()
def fit_clusters(
    sparse: SparseModel,
    texts: Sequence[Int[Tensor, " t"]],
    config: CoreClustersConfig,
    progress: Progress | None = None,
) -> CoreClusters:
    """k-means over embeddings of training texts, and each cluster's counts; inside `sparse.sparse()`."""
    from sklearn.cluster import KMeans

    progress = progress or Silent()
    progress.phase("cores of training texts", len(texts), "texts")
    embeddings, counted = [], []
    for ids in texts:
        counters = sparse.counters(config.alpha)
        sparse.read(ids, counters)
        counted.append(counters)
        embeddings.append(embed(sparse.plain, ids))
        progress.advance()
    rows = torch.stack(embeddings).double().numpy()
    count = min(config.clusters, len(texts))
    found = KMeans(count, random_state=child(config.seed, "clusters") % 2**32, n_init=4).fit(rows)  # pyright: ignore[reportArgumentType]
    owner = np.asarray(found.labels_)
    sums = [
        [_sum([counted[text][layer] for text in np.flatnonzero(owner == cluster)]) for layer in range(len(sparse.mlps))]
        for cluster in range(count)
    ]
    return CoreClusters(torch.from_numpy(found.cluster_centers_).to(embeddings[0]), sums)


def similarity_guided(
    model: PlainModel,
    training: PackedText,
    heldout: PackedText,
    config: CoreClustersConfig | None = None,
    progress: Progress | None = None,
) -> Result:
    """`core_loss` for short inputs: the own core, the similar texts', all texts', the oracle and a random core.

    Raises:
        TextError: no text that is long enough. ModelError: MLPs that are not known.
    """
    config = config or CoreClustersConfig()
    sparse = SparseModel(model)
    rows = spread(len(training), config.training)
    texts = [training.ids[row, : int(training.lengths[row])].long() for row in rows.tolist()]
    with sparse.sparse():
        clusters = fit_clusters(sparse, texts, config, progress)
    reader = _Reader(clusters, heldout, config)
    chosen = ways(config, sparse, (FIXED, ORACLE, RANDOM))
    for share in config.shares:
        common = sparse.fixed(clusters.common(share))
        chosen.append(Way(COMMON, share, lambda *_, common=common: common))
        chosen.append(Way(SIMILAR, share, lambda m, _, number, share=share: m.fixed(reader(m, number, share))))
    result = measure_ways(sparse, heldout, chosen, config, progress)
    note = (
        f"similar texts' core: the most frequent core neurons of the nearest of {len(clusters.centres)} clusters of "
        f"{len(texts)} training texts (k-means of the model's own mean residual stream); all texts' core: of them all"
    )
    return replace(result, notes=(*result.notes, note))


class _Reader:
    """Finds the cluster of each text from its prefix alone."""

    def __init__(self, clusters: CoreClusters, text: PackedText, config: CoreClustersConfig) -> None:
        self._clusters, self._config = clusters, config
        self._rows = long_enough(text, config.prefix + config.follow, config.sequences).tolist()
        self._text = text
        self._found: dict[int, int] = {}

    def __call__(self, model: SparseModel, number: int, share: float) -> list[Core]:
        if number not in self._found:
            model.choose(None)
            prefix = self._text.ids[self._rows[number], : self._config.prefix].long()
            self._found[number] = self._clusters.cluster(embed(model.plain, prefix))
        return self._clusters.cores(self._found[number], share)


def _sum(counters: Sequence[CoreCounter]) -> CoreCounter:
    """The counts of several texts together."""
    whole = CoreCounter(len(counters[0].counts), counters[0].alpha)
    for counter in counters:
        whole.counts += counter.counts
        whole.sizes += counter.sizes
        whole.tokens += counter.tokens
    return whole
