"""One prompt made ready: frozen run, replacement model, node numbers, metric and linear effects."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.dictionaries import DictionarySet
from workbench.models import FrozenModel, HookedModel, TokenBatch, freeze

from .config import Target
from .numbering import Numbering, number_nodes
from .replacement import LocalReplacement, replace_mlps
from .sweep import Sweep
from .target import Metric, resolve
from .units import LayerUnits


@dataclass(frozen=True)
class Analysis:
    """Everything that tracing, checking and validating one prompt start from.

    total: signed total effect of every source on the metric (gates held, errors constant). direct: the same with
    every MLP output held. bias_effect: the metric with tokens and errors at zero and gates held.
    """

    replacement: LocalReplacement
    numbering: Numbering
    metric: Metric
    sweep: Sweep
    total: Float[Tensor, " s"]
    value: float
    bias_effect: float

    @property
    def frozen(self) -> FrozenModel:
        return self.replacement.frozen

    @property
    def unit_nodes(self) -> Int[Tensor, " m"]:
        """Node numbers of all units, layer by layer."""
        return torch.cat([layer.unit_nodes for layer in self.numbering.layers])

    def unit(self, node: int) -> tuple[LayerUnits, int]:
        """The layer of a unit's node and its number there."""
        for units, sources in zip(self.replacement.layers, self.numbering.layers, strict=True):
            if sources.first <= node < sources.first + sources.size:
                number = int(torch.searchsorted(sources.unit_nodes, node))
                assert int(sources.unit_nodes[number]) == node
                return units, number
        raise AssertionError(f"node {node} is no unit")

    def ids(self) -> list[str]:
        """Every node's id, as `Node.id` writes it, in order of number."""
        frozen, found = self.frozen, [""] * self.numbering.n_nodes
        for position, token in enumerate(frozen.tokens.tolist()):
            found[position] = f"embed:-1:{token}:{position}"
        for units, sources in zip(self.replacement.layers, self.numbering.layers, strict=True):
            for position, number in enumerate(sources.error_nodes.tolist()):
                found[number] = f"error:{units.layer}:0:{position}"
            columns = sources.unit_nodes.tolist(), units.index.tolist(), units.position.tolist()
            for number, index, position in zip(*columns, strict=True):
                found[number] = f"{units.kind}:{units.layer}:{index}:{position}"
        for row in range(self.numbering.n_targets):
            found[self.numbering.n_sources + row] = f"logit:{frozen.n_layers}:{row}:{self.metric.position}"
        return found

    def source_effect(self) -> float:
        """Sum of the total effects of everything that is no unit: tokens, errors and biases. Equals the metric."""
        sources = torch.ones_like(self.total, dtype=torch.bool)
        sources[self.unit_nodes] = False
        return float(self.total[sources].sum()) + self.bias_effect

    def source_gap(self) -> float:
        """How far `source_effect` misses the metric, relative to the summed sizes of all that was added up."""
        size = float(self.total.abs().sum()) + abs(self.bias_effect)
        return abs(self.source_effect() - self.value) / max(size, 1e-30)

    def biases(self) -> Float[Tensor, " n"]:
        """Each node's constant part, from a forward run with all sources at zero; zero at sources without inputs."""
        seen, final = self.replacement.constants()
        bias = final.new_zeros(self.numbering.n_nodes)
        for units, sources, mlp_in in zip(self.replacement.layers, self.numbering.layers, seen, strict=True):
            bias[sources.unit_nodes] = (mlp_in[units.position] * units.readers).sum(-1) + units.reader_bias
        rows = self.metric.directions @ final[self.metric.position] + self.metric.constants
        bias[self.numbering.n_sources :] = rows
        return bias


def analyse(
    model: HookedModel,
    dictionaries: DictionarySet,
    tokens: TokenBatch | Int[Tensor, "..."] | FrozenModel,
    target: Target,
) -> Analysis:
    """Freeze a prompt's run (or take a frozen one), put dictionaries in, and pull the metric through once.

    Raises:
        ConfigError, TextError, ShapeError: see `freeze`, `replace_mlps` and `resolve`.
    """
    with torch.no_grad():
        frozen = tokens if isinstance(tokens, FrozenModel) else freeze(model, tokens)
        metric = resolve(target, frozen)
        replacement = replace_mlps(model, frozen, dictionaries)
        numbering = number_nodes(replacement, len(metric.directions))
        sweep = Sweep(replacement, numbering)
        final = frozen.final_norm.push(frozen.resid_post_last[:, None])[:, 0] + frozen.final_norm.constant
        value = float(metric.value(final[None])[0])
        bias = float(metric.value(replacement.bias_run()[None])[0])
        return Analysis(replacement, numbering, metric, sweep, sweep.total(metric), value, bias)
