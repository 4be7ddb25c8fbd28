"""Which of a model's neurons a dictionary's features need: attributed by a gradient, tested by silencing them."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from workbench.core import Codes, ConfigError, Progress, Result, Silent, Site, Unit, generator
from workbench.dictionaries import Dictionary
from workbench.features import Bench, FeatureScan, windows
from workbench.models import HookedModel, TokenBatch
from workbench.sparsity import sentence_core

from .feature_neurons_config import FeatureNeuronsConfig

NEEDED, STRONGEST, RANDOM = "needed", "strongest", "random"
AFTER_MLP = ("mlp_out", "resid_post")
"""Sites of a layer that its own neurons reach."""


class Examples:
    """A unit on some of its examples: its activation at the last token of each, whole or with neurons silenced.

    The first token of a text is left alone: what happens there is its own. All neurons before the unit's site stand
    side by side, layer after layer.
    """

    def __init__(self, model: HookedModel, dictionary: Dictionary, unit: Unit, tokens: TokenBatch) -> None:
        self.model, self.dictionary, self.unit, self.tokens = model, dictionary, unit, tokens
        layers = (unit.site.layer or 0) + (unit.site.kind in AFTER_MLP)
        self.sites = [Site("mlp_post", layer) for layer in range(layers)]
        self.inside = torch.arange(tokens.ids.shape[1]) < tokens.lengths[:, None]
        self.inside[:, 0] = False

    def read(self, functions: Sequence[Any] = ()) -> Float[Tensor, "n d"]:
        """What the unit reads at the last token of every example."""
        run = self.model.intervene(self.tokens, functions, sites=[self.unit.site], logits=False)
        seen = run.activations[self.unit.site]
        return seen[torch.arange(len(seen), device=seen.device), self.tokens.lengths.to(seen.device) - 1]

    @torch.no_grad()
    def activation(self, silent: Int[Tensor, " m"] | None = None) -> float:
        """The unit's mean activation, with some neurons at 0 everywhere but at the first token."""
        kept = torch.ones(len(self.sites) * self.width)
        if silent is not None:
            kept[silent] = 0
        rows = kept.view(len(self.sites), self.width).to(self.model.device, self.model.dtype)
        inside = self.inside[..., None].to(self.model.device)
        functions = [
            (site, lambda x, row=row: torch.where(inside, x * row, x))
            for site, row in zip(self.sites, rows, strict=True)
            if bool((row == 0).any())
        ]
        codes = self.dictionary.encode({self.unit.site: self.read(functions)}).padded()
        return float((codes.value * (codes.index == self.unit.index)).sum(1).float().mean())

    @property
    def width(self) -> int:
        return self.model.shape.d_mlp

    @torch.enable_grad()
    def attribution(self) -> Float[Tensor, " m"]:
        """activation x gradient of the pre-activation, summed over tokens, mean over examples: what silencing costs.

        To first order, and exactly where nothing but sums lies between a neuron and the unit.

        Raises:
            ConfigError: a unit that is not read linearly.
        """
        deltas: dict[Site, Tensor] = {}

        def probe(x: Tensor, site: Site) -> Tensor:
            deltas[site] = torch.zeros_like(x, requires_grad=True)
            held[site] = x.detach()
            return x + deltas[site]

        held: dict[Site, Tensor] = {}
        rows = self.read([(site, lambda x, site=site: probe(x, site)) for site in self.sites])
        codes = Codes(torch.full((len(rows), 1), self.unit.index), rows.new_ones(len(rows), 1), self.dictionary.width)
        readers = self.dictionary.readers(codes, {self.unit.site: rows.detach().to(self.dictionary.dtype)})
        if readers is None:
            raise ConfigError(f"{self.unit} is not read linearly", hint="take an SAE or a transcoder")
        wanted = (rows * readers.rows.detach().to(rows)).sum()
        gradients = torch.autograd.grad(wanted, [deltas[site] for site in self.sites], allow_unused=True)
        inside = self.inside[..., None].to(rows.device)
        found = [
            torch.zeros(self.width) if gradient is None else (held[site] * gradient * inside).sum((0, 1)).float().cpu()
            for site, gradient in zip(self.sites, gradients, strict=True)
        ]
        return torch.cat(found) / len(rows)

    @torch.no_grad()
    def strength(self) -> tuple[Float[Tensor, " m"], list[Float[Tensor, "n f"]]]:
        """How much every neuron writes, |a| |w| in the mean over tokens; and the activations themselves, by layer."""
        seen = self.model.capture(self.tokens, self.sites)
        params = self.model.params()
        sizes, rows = [], []
        for site in self.sites:
            rows.append(seen[site][self.inside.to(seen[site].device)].float().cpu())
            norms = params[f"blocks.{site.layer}.mlp.W_out"].detach().float().norm(dim=1).cpu()
            sizes.append(rows[-1].abs().mean(0) * norms)
        return torch.cat(sizes), rows


def feature_neurons(
    bench: Bench,
    scan: FeatureScan,
    units: Sequence[Unit],
    config: FeatureNeuronsConfig | None = None,
    progress: Progress | None = None,
) -> Result:
    """Which neurons of earlier MLPs some features need, on their strongest examples (kind `feature_neurons`).

    Tables: `features` (activation, least size that halves it, by what is silenced; share of the needed neurons that
    are core neurons of the examples), `curve` (share of the activation that is left), `neurons` (the most needed).

    Raises:
        ConfigError: a unit that is not read linearly, before any MLP, or that never fires in the scan.
    """
    config, progress = config or FeatureNeuronsConfig(), progress or Silent()
    features, curve, neurons, partial = [], [], [], False
    progress.phase("neurons of features", len(units), "features")
    for unit in units:
        if partial := progress.cancelled():
            break
        examples = _examples(bench, scan, unit, config)
        cost = examples.attribution()
        order, core = _orders(examples, cost, config)
        found = _curve(examples, order, config)
        curve += [{"unit": str(unit), **row} for row in found]
        listed = order[NEEDED][: config.top]
        neurons += [
            {"unit": str(unit), "rank": rank, "layer": number // examples.width, "neuron": number % examples.width}
            | {"attribution": float(cost[number]), "core": bool(core[number])}
            for rank, number in enumerate(listed.tolist(), 1)
        ]
        features.append(
            {"unit": str(unit), "examples": len(examples.tokens.lengths), "neurons_before": len(core)}
            | _summary(found)
            | {
                "core_share": float(core[listed].double().mean()),
                "core_chance": float(core.double().mean()),
                "most_in_layer": int(cost.clamp(min=0).view(-1, examples.width).sum(1).argmax()),
            }
        )
        progress.advance()
    return Result(
        kind="feature_neurons",
        tables={"features": features, "curve": curve, "neurons": neurons},
        params={**config.model_dump(mode="json"), "dictionaries": bench.dictionaries.name},
        inputs=scan.inputs(),
        notes=_NOTES,
        seed=config.seed,
        partial=partial,
    )


def _examples(bench: Bench, scan: FeatureScan, unit: Unit, config: FeatureNeuronsConfig) -> Examples:
    places, _ = scan.places(unit, "top")
    if not places:
        raise ConfigError(f"{unit} never fires in the scan", hint="take another feature, or scan more text")
    examples = Examples(bench.model, bench.member(unit), unit, windows(scan, places[: config.examples], config.window))
    if not examples.sites:
        raise ConfigError(f"no neuron comes before {unit}", hint="take a feature of a later layer")
    return examples


def _orders(
    examples: Examples, cost: Float[Tensor, " m"], config: FeatureNeuronsConfig
) -> tuple[dict[str, Int[Tensor, " m"]], Bool[Tensor, " m"]]:
    """What is silenced, first things first; and which neurons are core neurons of the examples."""
    sizes, rows = examples.strength()
    orders = {
        NEEDED: cost.argsort(descending=True, stable=True),
        STRONGEST: sizes.argsort(descending=True, stable=True),
        RANDOM: torch.randperm(len(cost), generator=generator(config.seed, "neurons of features", str(examples.unit))),
    }
    core = torch.zeros(len(rows), examples.width, dtype=torch.bool)
    for mine, hidden in zip(core, rows, strict=True):
        mine[sentence_core(hidden, config.alpha, config.beta)] = True
    return orders, core.flatten()


def _curve(
    examples: Examples, orders: dict[str, Int[Tensor, " m"]], config: FeatureNeuronsConfig
) -> list[dict[str, Any]]:
    whole = examples.activation()
    rows = [{"silenced": "nothing", "neurons": 0, "activation": whole, "left": 1.0}]
    for name, ranked in orders.items():
        for size in config.sizes:
            if size <= len(ranked):
                left = examples.activation(ranked[:size])
                rows.append({"silenced": name, "neurons": size, "activation": left, "left": left / whole})
    return rows


def _summary(curve: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The least number of neurons that halves a feature, by what is silenced; None: no number tried does."""
    row: dict[str, Any] = {"activation": curve[0]["activation"]}
    for name in (NEEDED, STRONGEST, RANDOM):
        enough = [each["neurons"] for each in curve if each["silenced"] == name and each["left"] <= 0.5]
        row[f"halved_by_{name}"] = min(enough, default=None)
    return row


_NOTES = (
    "needed: neurons of all earlier MLPs by activation x gradient of the feature's pre-activation, summed over the "
    "tokens of an example, mean over its strongest examples; what silencing one costs, to first order",
    "silenced: set to 0 at every token but the first, then the feature is read anew; strongest: neurons by |a| |w|; "
    "random: drawn by seed from the same layers",
    "halved_by: the least of the sizes tried that leaves half the activation or less; core: the neuron is in the core "
    "of its layer on the examples (CoreInfer); core_share: of the neurons listed; core_chance: of all",
)
