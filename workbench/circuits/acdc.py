"""ACDC: the exact edge-by-edge search for small models (Conmy et al. 2023, arXiv 2304.14997).

Edges are tried from the output backwards, each with all edges removed so far still removed: an edge whose removal
moves the metric by less than the threshold stays removed. Readers that nothing uses any more lose all their edges at
no cost.
"""

import torch
from torch import Tensor

from workbench.core import ConfigError, Progress, Result, Silent
from workbench.models import HookedModel

from .ablation import Ablation
from .component_config import AcdcConfig
from .component_model import ComponentModel
from .component_scores import edge_result, stop_if_cancelled
from .components import Components
from .contrast import Contrast, Pairs, contrast_of


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
    search = _Search(parts, contrast_of(model, pairs), config, progress)
    scores, keep = search.run(progress)
    nodes = torch.where(parts.components.allowed, scores, 0).amax(0)
    result = edge_result(parts, "acdc", scores, config, search.scalars(keep), nodes)
    kept = keep[parts.components.allowed].tolist()
    result.tables["edges"] = [
        {**row, "kept": bool(flag)} for row, flag in zip(result.tables["edges"], kept, strict=True)
    ]
    return result


class _Search:
    def __init__(self, parts: ComponentModel, contrast: Contrast, config: AcdcConfig, progress: Progress) -> None:
        self.parts, self.config = parts, config
        ablation = Ablation(parts, contrast, config.ablation, config.batch, progress)
        self.batches = [(some, ablation.outputs(some)) for some in contrast.batches(config.batch)]
        self.all = parts.components.allowed.double()
        self.full, self.empty = self.value(self.all), self.value(torch.zeros_like(self.all))
        self.range = max(float((self.full - self.empty).abs().mean()), 1e-12)

    def value(self, keep: Tensor) -> Tensor:
        """The metric of every prompt with these edges kept."""
        return torch.cat([self.parts.run_edges(some, outputs, keep) for some, outputs in self.batches]).double().cpu()

    def run(self, progress: Progress) -> tuple[Tensor, Tensor]:
        """Scores and kept edges, both [readers sources]."""
        components = self.parts.components
        keep, scores = self.all.clone(), torch.zeros_like(self.all)
        progress.phase("trying edges", int(components.allowed.sum()), "edges")
        now = self.full
        for reader in reversed(range(len(components.readers))):
            sources = components.allowed[reader].nonzero().flatten().flip(0).tolist()
            if not _used(components, keep, reader):
                keep[reader] = 0
                progress.advance(len(sources))
                continue
            for source in sources:
                stop_if_cancelled(progress)
                keep[reader, source] = 0
                without = self.value(keep)
                scores[reader, source] = (without - now).abs().mean() / self.range
                if scores[reader, source] < self.config.threshold:
                    now = without
                else:
                    keep[reader, source] = 1
                progress.advance()
        return scores, keep

    def scalars(self, keep: Tensor) -> dict[str, float]:
        circuit = self.value(keep)
        return {
            "edges": float(keep.sum()),
            "clean": float(self.full.mean()),
            "ablated": float(self.empty.mean()),
            "circuit": float(circuit.mean()),
        }


def _used(components: Components, keep: Tensor, reader: int) -> bool:
    """Whether any node that the reader belongs to still feeds something."""
    nodes = components.nodes_of_reader(reader)
    return any(node == "logits" or bool(keep[:, components.source(node)].any()) for node in nodes)
