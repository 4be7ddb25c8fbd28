"""ACDC: the exact edge-by-edge search for small models (Conmy et al. 2023, arXiv 2304.14997).

Edges are tried from the output backwards, each with all edges removed so far still removed: an edge whose removal
moves the metric by less than the threshold stays removed. Readers that nothing uses any more lose all their edges at
no cost.
"""

import numpy as np
import torch
from torch import Tensor

from workbench.core import ConfigError, Progress, Result, Silent
from workbench.models import HookedModel

from .circuit_runs import CircuitRuns
from .component_config import AcdcConfig
from .component_model import ComponentModel
from .component_scores import edge_result, stop_if_cancelled
from .components import Components
from .contrast import Pairs, contrast_of


@torch.no_grad()
def acdc(
    model: HookedModel, pairs: Pairs, config: AcdcConfig | None = None, progress: Progress | None = None
) -> Result:
    """Search the edges that the metric needs: table `edges` with `score` and `kept`, table `nodes`.

    An edge's score is the mean over prompts of |change of the metric| when it was tried, as a share of the distance
    between clean and fully ablated metric; 0 where it was dead already.

    Raises:
        ConfigError: more edges than allowed. TextError: pairs that do not fit together.
    """
    config, progress = config or AcdcConfig(), progress or Silent()
    parts = ComponentModel(model)
    parts.check_edges()
    count = int(parts.components.allowed.sum())
    if count > config.max_edges:
        raise ConfigError(
            f"an exact search tries {count} edges one by one",
            f"allowed are {config.max_edges}",
            "use eap, or raise max_edges",
        )
    contrast = contrast_of(model, pairs)
    runs = CircuitRuns(parts, contrast, config.ablation, config.batch, progress)
    scores, keep = _Search(runs, config.threshold).run(progress)
    circuit = runs.value(keep)
    means = {"clean": runs.full, "ablated": runs.empty, "circuit": circuit}
    scalars = {name: float(values.mean()) for name, values in means.items()} | {"edges": float(keep.sum())}
    nodes = torch.where(parts.components.allowed, scores, 0).amax(0)
    result = edge_result(parts, "acdc", scores, config, scalars, nodes, pairs=contrast.digest)
    kept = keep[parts.components.allowed].tolist()
    result.tables["edges"] = [
        {**row, "kept": bool(flag)} for row, flag in zip(result.tables["edges"], kept, strict=True)
    ]
    return result


class _Search:
    def __init__(self, runs: CircuitRuns, threshold: float) -> None:
        self.runs, self.components, self.threshold = runs, runs.components, threshold
        self.range = max(float(np.abs(runs.full - runs.empty).mean()), 1e-12)

    def run(self, progress: Progress) -> tuple[Tensor, Tensor]:
        """Scores and kept edges, both [readers sources]."""
        keep = self.components.allowed.clone()
        scores = torch.zeros(keep.shape, dtype=torch.float64)
        progress.phase("trying edges", int(keep.sum()), "edges")
        now = self.runs.full
        for reader in reversed(range(len(self.components.readers))):
            sources = self.components.allowed[reader].nonzero().flatten().flip(0).tolist()
            if not _used(self.components, keep, reader):
                keep[reader] = False
                progress.advance(len(sources))
                continue
            for source in sources:
                stop_if_cancelled(progress)
                keep[reader, source] = False
                without = self.runs.value(keep)
                scores[reader, source] = float(np.abs(without - now).mean()) / self.range
                if scores[reader, source] < self.threshold:
                    now = without
                else:
                    keep[reader, source] = True
                progress.advance()
        return scores, keep


def _used(components: Components, keep: Tensor, reader: int) -> bool:
    """Whether any node that the reader belongs to still feeds something."""
    nodes = components.nodes_of_reader(reader)
    return any(node == "logits" or bool(keep[:, components.source(node)].any()) for node in nodes)
