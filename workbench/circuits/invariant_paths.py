"""Contributions on one prompt as invariant x dependent factor, and the greedy search for the paths that matter."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core import Site
from workbench.dictionaries import DictionarySet
from workbench.models import HookedModel

from .analysis import Analysis
from .invariant import Head, connections, reading, through


@dataclass(frozen=True)
class Step:
    """One step back along a path: a feature, a head (to its source position) or an embedding."""

    kind: str
    layer: int
    index: int
    position: int


@dataclass(frozen=True)
class Path:
    """Steps from a target back; value: what flows along them into its pre-activation."""

    steps: tuple[Step, ...]
    value: float
    covector: Float[Tensor, " d"]
    below: int
    done: bool = False


@dataclass(frozen=True)
class Factors:
    """invariant: of the weights. dependent: activation x attention weight / norm scales. Their product is the edge."""

    invariant: float
    dependent: float

    @property
    def value(self) -> float:
        return self.invariant * self.dependent


def factor(
    model: HookedModel,
    dictionaries: DictionarySet,
    analysis: Analysis,
    source: tuple[int, int, int],
    target: tuple[int, int, int],
    head: Head | None = None,
) -> Factors:
    """What one feature gives another on a prompt, directly or through one head, factored.

    source, target: (layer, index, position), both active.
    """
    (low, index, start), (high, reader, end) = source, target
    told = reading(model, dictionaries, high, reader)
    frozen = analysis.frozen
    sites = [Site("ln2_scale", high)]
    sites += [Site("ln1_scale", head[0]), Site("attn_pattern", head[0])] if head else []
    seen = {site: value[0].cpu() for site, value in model.capture(frozen.tokens[None], sites).items()}
    units = analysis.replacement.layers[low]
    mine = (units.index == index) & (units.position == start)
    dependent = float(units.activation[mine].sum()) / float(seen[Site("ln2_scale", high)].reshape(-1)[end])
    if head is None:
        dependent *= float(start == end)
    else:
        told = through(model, told, head)
        dependent *= float(seen[Site("attn_pattern", head[0])][head[1], end, start])
        dependent /= float(seen[Site("ln1_scale", head[0])].reshape(-1)[start])
    return Factors(float(connections(dictionaries, told)[low][index]), dependent)


class PathSearch:
    """Greedy search back from a feature of one analysed prompt (Dunefsky et al. 2024, appendix).

    In every round each open path is extended by its strongest features at the same token, heads with their source
    tokens (the first token left out), and the embedding; the `branches` paths of largest |value| go on.
    """

    def __init__(self, model: HookedModel, analysis: Analysis) -> None:
        self.analysis, self.frozen = analysis, analysis.frozen
        sites = [Site("resid_pre", layer) for layer in range(self.frozen.n_layers)]
        seen = model.capture(self.frozen.tokens[None], sites)
        self.resid = [seen[site][0].to(self.frozen.embed) for site in sites]

    def run(self, layer: int, index: int, position: int, branches: int = 15, rounds: int = 4) -> list[Path]:
        """The strongest paths into an active feature's pre-activation, those of every round, largest |value| first."""
        units = self.analysis.replacement.layers[layer]
        mine = torch.nonzero((units.index == index) & (units.position == position))[0, 0]
        start = self._before_norm(layer, units.readers[mine], position)
        paths = [Path((Step("feature", layer, index, position),), float(units.pre_activation[mine]), start, layer)]
        found: list[Path] = []
        for _ in range(rounds):
            grown = [more for path in paths if not path.done for more in self.extend(path, branches)]
            paths = sorted(grown, key=lambda path: -abs(path.value))[:branches]
            found += paths
        return sorted(found, key=lambda path: -abs(path.value))

    def extend(self, path: Path, count: int | None = None) -> list[Path]:
        """One step further back, every way there is (or the `count` strongest of each kind)."""
        position = path.steps[-1].position
        value = float(path.covector @ self.frozen.embed[position])
        step = Step("embed", -1, int(self.frozen.tokens[position]), position)
        found = [replace(path, steps=(*path.steps, step), value=value, done=True)]
        return found + self._features(path, position, count) + self._heads(path, position, count)

    def _features(self, path: Path, position: int, count: int | None) -> list[Path]:
        found = []
        for units in self.analysis.replacement.layers[: path.below]:
            here = torch.nonzero(units.position == position)[:, 0]
            written = [rows[here] for layer, rows in units.writers.items() if layer < path.below]
            if not written:
                continue
            strength = torch.stack(written).sum(0) @ path.covector
            values = strength * units.activation[here]
            for place in values.abs().argsort(descending=True)[:count].tolist():
                number = here[place]
                step = Step("feature", units.layer, int(units.index[number]), position)
                covector = self._before_norm(units.layer, strength[place] * units.readers[number], position)
                found.append(Path((*path.steps, step), float(values[place]), covector, units.layer))
        return sorted(found, key=lambda path: -abs(path.value))[:count]

    def _heads(self, path: Path, position: int, count: int | None) -> list[Path]:
        """Heads of the layers whose output the tail reads; the tail of a head reads what lies before its layer."""
        found = []
        reads_attention = path.steps[-1].kind == "feature" and not self.frozen.parallel
        for layer in range(path.below + 1 if reads_attention else path.below):
            v = path.covector.new_zeros(position + 1, 1, len(path.covector))
            v[position, 0] = path.covector
            pulled = self.frozen.attention[layer].pull_heads(v)[:, :, 0]
            values = (pulled * self.resid[layer][: position + 1]).sum(-1)
            values[:, :1] = 0.0
            flat = values.flatten()
            for place in flat.abs().argsort(descending=True)[: count or len(flat)].tolist():
                head, source = divmod(place, position + 1)
                if float(flat[place]):
                    step = Step("head", layer, head, source)
                    found.append(Path((*path.steps, step), float(flat[place]), pulled[head, source], layer))
        return sorted(found, key=lambda path: -abs(path.value))[:count]

    def _before_norm(self, layer: int, row: Float[Tensor, " d"], position: int) -> Float[Tensor, " d"]:
        v = row.new_zeros(position + 1, 1, len(row))
        v[position, 0] = row
        return self.frozen.mlp_norm[layer].pull(v)[position, 0]
