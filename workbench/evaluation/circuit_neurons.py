"""The core neurons of a circuit: which neurons write what its features write, and whether they carry its metric."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from workbench.circuits import Analysis, analyse, target_of
from workbench.core import CircuitGraph, ConfigError, Progress, Result, Silent, Site, generator
from workbench.dictionaries import DictionarySet
from workbench.models import HookedModel
from workbench.sparsity import CoreCounter

from .feature_neurons_config import CircuitNeuronsConfig

CIRCUIT, CORE, RANDOM = "the circuit's", "the prompt's core", "random"


@torch.no_grad()
def circuit_neurons(
    model: HookedModel,
    dictionaries: DictionarySet,
    graph: CircuitGraph,
    config: CircuitNeuronsConfig | None = None,
    progress: Progress | None = None,
) -> Result:
    """Neurons behind a graph's features, and the metric with them silenced or kept alone (kind `circuit_neurons`).

    Tables: `test` (share of all neurons, metric with them at 0 and with all others at 0), `overlap` (how many of the
    circuit's neurons are core neurons of the prompt, beside chance), `neurons` (the strongest), `layers` (by layer).

    Raises:
        ConfigError: a graph without features whose dictionaries write to an MLP's output.
    """
    config, progress = config or CircuitNeuronsConfig(), progress or Silent()
    prompt = Prompt(model, analyse(model, dictionaries, torch.tensor(graph.token_ids), target_of(graph)))
    score = neuron_scores(model, dictionaries, graph, prompt.hidden)
    order = score.abs().flatten().argsort(descending=True, stable=True)
    counters = [CoreCounter(score.shape[1], config.alpha) for _ in score]
    for counter, rows in zip(counters, prompt.hidden, strict=True):
        counter.add(rows[1:])
    progress.phase("silencing neurons", len(config.shares), "shares")
    test, overlaps, partial = [], [], False
    scored = int((score != 0).sum())
    # Beyond the neurons that have a score, those of the MLPs without a feature, "the circuit's" would mean nothing.
    for share in (each for each in config.shares if round(each * score.numel()) <= scored):
        if partial := progress.cancelled():
            break
        mine = _first(order, share, score.shape)
        core = torch.zeros_like(mine)
        for row, counter in zip(core, counters, strict=True):
            row[counter.core(share)] = True
        draws = [_random(mine, config.seed, draw) for draw in range(config.draws)]
        for name, chosen in ((CIRCUIT, [mine]), (CORE, [core]), (RANDOM, draws)):
            silenced = torch.tensor([prompt.metric(~one) for one in chosen], dtype=torch.float64)
            alone = torch.tensor([prompt.metric(one) for one in chosen], dtype=torch.float64)
            test.append(
                {
                    "neurons": name,
                    "share": share,
                    "count": int(chosen[0].sum()),
                    "silenced": float(silenced.mean()),
                    "silenced_sd": float(silenced.std()) if len(chosen) > 1 else None,
                    "kept_alone": float(alone.mean()),
                    "kept_alone_sd": float(alone.std()) if len(chosen) > 1 else None,
                }
            )
        both = float((mine & core).sum())
        overlaps.append({"share": share, "in_core": both / float(mine.sum()), "chance": float(core.double().mean())})
        progress.advance()
    weight = score.abs().double()
    return Result(
        kind="circuit_neurons",
        scalars={
            "metric": prompt.metric(None),
            "metric_without_mlps": prompt.metric(torch.zeros_like(score, dtype=torch.bool)),
            "neurons_for_half": float(_enough(weight, 0.5)),
            "neurons_for_nine_tenths": float(_enough(weight, 0.9)),
            "neurons_scored": float(scored),
        },
        tables={
            "test": test,
            "overlap": overlaps,
            "neurons": _listed(score, order, config.top),
            "layers": [
                {"layer": layer, "share_of_scores": float(row.sum() / weight.sum())} for layer, row in enumerate(weight)
            ],
        },
        params={**config.model_dump(mode="json"), "metric": graph.metric, "prompt": graph.prompt},
        inputs={"graph": graph.manifest.content_hash, "model": model.ref.weight_hash},
        notes=_NOTES,
        seed=config.seed,
        partial=partial,
    )


class Prompt:
    """A graph's prompt on the model itself: its metric with some neurons at 0 at every token but the first."""

    def __init__(self, model: HookedModel, analysis: Analysis) -> None:
        self.model, self._metric = model, analysis.metric
        self._tokens, self._dtype = analysis.frozen.tokens[None], analysis.frozen.embed.dtype
        self.sites = [Site("mlp_post", layer) for layer in range(model.shape.n_layers)]
        seen = model.capture(self._tokens, self.sites)
        self.hidden: list[Float[Tensor, "t f"]] = [seen[site][0].float().cpu() for site in self.sites]

    def metric(self, kept: Bool[Tensor, "layers f"] | None) -> float:
        """The metric with the neurons that are not kept at 0; None: all are kept."""
        functions = []
        for site, row in zip(self.sites, [] if kept is None else kept, strict=kept is not None):

            def silence(x: Tensor, row: Tensor = row) -> Tensor:
                return torch.cat([x[:, :1], x[:, 1:] * row.to(x)], 1)

            functions.append((site, silence))
        final = Site("final_norm")
        run = self.model.intervene(self._tokens, functions, sites=[final], logits=False)
        return float(self._metric.value(run.activations[final].to(self._dtype))[0])


def neuron_scores(
    model: HookedModel, dictionaries: DictionarySet, graph: CircuitGraph, hidden: Sequence[Float[Tensor, "t f"]]
) -> Float[Tensor, "layers f"]:
    """How much of each feature's effect every neuron writes, summed over the graph's features.

    Along the decoder row w of a feature with activation a, neuron i of that MLP writes h_i w_i . w; the feature
    writes a |w|^2. Their ratio, times the feature's effect on the metric, is the neuron's score.

    Raises:
        ConfigError: no feature of the graph writes to an MLP's output.
    """
    score, params, met = torch.zeros(len(hidden), hidden[0].shape[1]), model.params(), False
    for node in graph.nodes:
        if node.kind not in ("feature", "code") or node.unit is None or node.position == 0 or not node.activation:
            continue
        member = dictionaries[_member(dictionaries, node.unit.site)]
        for site, row in member.writers(torch.tensor([node.index])).items():
            if site.kind != "mlp_out" or site.layer is None:
                continue
            met, direction = True, row[0].detach().float().cpu()
            writes = params[f"blocks.{site.layer}.mlp.W_out"].detach().float().cpu() @ direction
            part = hidden[site.layer][node.position] * writes / (node.activation * direction.square().sum())
            score[site.layer] += node.effect * part
    if not met:
        raise ConfigError("no feature of this graph writes to an MLP's output", hint="trace it with transcoders")
    return score


def _member(dictionaries: DictionarySet, site: Site) -> str:
    return next(name for name, member in dictionaries.items() if site in member.reads)


def _first(order: Tensor, share: float, shape: Sequence[int]) -> Bool[Tensor, "layers f"]:
    found = torch.zeros(len(order), dtype=torch.bool)
    found[order[: max(1, round(share * len(order)))]] = True
    return found.view(*shape)


def _random(like: Bool[Tensor, "layers f"], seed: int, draw: int) -> Bool[Tensor, "layers f"]:
    """As many neurons in every layer, drawn."""
    found = torch.zeros_like(like)
    for layer, row in enumerate(found):
        drawn = torch.randperm(len(row), generator=generator(seed, "neurons of a circuit", draw, layer))
        row[drawn[: int(like[layer].sum())]] = True
    return found


def _enough(weight: Float[Tensor, "layers f"], part: float) -> int:
    """How few neurons hold so much of the scores' absolute sum."""
    ordered = weight.flatten().sort(descending=True).values.cumsum(0)
    return int(torch.searchsorted(ordered, part * ordered[-1])) + 1


def _listed(score: Float[Tensor, "layers f"], order: Tensor, count: int) -> list[dict[str, Any]]:
    width = score.shape[1]
    return [
        {"rank": rank, "layer": n // width, "neuron": n % width, "score": float(score.flatten()[n])}
        for rank, n in enumerate(order[:count].tolist(), 1)
    ]


_NOTES = (
    "score: the part of a feature's write that a neuron of the same MLP writes (its own write along the decoder row), "
    "times the feature's effect on the metric, summed over the graph's features and positions",
    "silenced: the metric of the model itself with these neurons at 0 at every token but the first; kept_alone: with "
    "all others at 0 there",
    "the prompt's core: the same share of every layer's neurons, those that most tokens have among their strongest "
    "(CoreInfer); random: as many in every layer as the circuit has, mean over draws",
    "a feature's write is not all of what its MLP writes: the affine path and the error are nobody's here",
)
