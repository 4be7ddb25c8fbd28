"""dial: what a model loses when only some of its neurons speak, rule by rule."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from workbench.core import ConfigError, Interrupted, Progress, Result, Silent, nearest
from workbench.data import PackedText
from workbench.models import HookedModel, ModelShape
from workbench.sparsity import (
    ALLOCATIONS,
    OWN_ALLOCATION,
    RULES,
    Calibration,
    NeuronGate,
    NeuronSample,
    Rule,
    sample_neurons,
)

from .batches import TextBatch, batches
from .bootstrap import Estimate, ratio, resamples
from .config import EvaluateConfig
from .dial_config import DialConfig

RISES = (0.01, 0.03)
"""Relative rises of perplexity at which operating points are read off."""
PUBLISHED = {
    "cett": "93.5 % at a rise of 1 % (2.4B ReLU model, Sparsing Law)",
    "teal": "40-50 % model-wide at small loss (7B-70B, every linear layer's input)",
    "cats": "50 % of the MLP within 1-2 % of accuracy (7B)",
    "top-k": "93.8 % with training (k 128 of 2,048, T5-Base; Li et al. 2022)",
    "random": "",
}


@dataclass
class Setting:
    """Some gates in force together, and what was measured with them.

    Attributes:
        layer: the only layer that is gated; None: all of them.
        share: of silent neurons, as asked for.
    """

    rule: Rule
    allocation: str
    share: float
    layer: int | None
    gates: Sequence[NeuronGate]
    losses: Float[Tensor, " documents"]
    agreed: Float[Tensor, " documents"]
    kept: dict[int, int] = field(default_factory=dict)
    seen: dict[int, int] = field(default_factory=dict)

    def count(self, layer: int, mask: Bool[Tensor, "n f"]) -> None:
        self.kept[layer] = self.kept.get(layer, 0) + int(mask.sum())
        self.seen[layer] = self.seen.get(layer, 0) + mask.numel()

    @property
    def silent(self) -> float:
        """The share of the gated neurons that were silenced, as it came out."""
        return 1 - sum(self.kept.values()) / max(sum(self.seen.values()), 1)


class Losses:
    """Sums per document of next-token losses and of agreement with the model's own first choice."""

    def __init__(self, model: HookedModel, documents: int) -> None:
        self.model = model
        self.n = torch.zeros(documents, dtype=torch.float64)
        self.reference = torch.zeros(documents, dtype=torch.float64)

    @torch.no_grad()
    def add(self, batch: TextBatch, settings: Sequence[Setting]) -> None:
        """The model alone, then each setting, at positions that count and have a next token."""
        counted = batch.mask.clone()
        counted[torch.arange(len(counted)), batch.tokens.lengths - 1] = False
        document = batch.document[:, None].expand(counted.shape)[counted]
        following = batch.tokens.ids.roll(-1, 1)[counted]
        loss, choice = self._measure(batch, None, counted, following)
        self.n.index_add_(0, document, torch.ones(len(document), dtype=torch.float64))
        self.reference.index_add_(0, document, loss)
        for setting in settings:
            loss, chosen = self._measure(batch, setting, counted, following)
            setting.losses.index_add_(0, document, loss)
            setting.agreed.index_add_(0, document, (chosen == choice).double())

    def _measure(
        self, batch: TextBatch, setting: Setting | None, counted: Bool[Tensor, "b t"], following: Tensor
    ) -> tuple[Tensor, Tensor]:
        rows = batch.mask.to(self.model.device)
        functions = []
        for gate in setting.gates if setting else ():
            assert setting is not None

            def count(mask: Tensor, layer: int = gate.layer, setting: Setting = setting) -> None:
                setting.count(layer, mask)

            functions += gate.functions(rows, count)
        logits = self.model.intervene(batch.tokens, functions).logits
        assert logits is not None
        wanted = logits[counted.to(logits.device)].float()
        loss = torch.nn.functional.cross_entropy(wanted, following.to(wanted.device), reduction="none")
        return loss.double().cpu(), wanted.argmax(1).cpu()


def dial(
    model: HookedModel,
    text: PackedText,
    config: DialConfig | None = None,
    layers: Sequence[int] | None = None,
    progress: Progress | None = None,
) -> Result:
    """Loss against the share of silent neurons for every rule; thresholds from the train part, losses held out.

    Tables: `dial` (a row per setting: cross-entropy, rise of perplexity, agreement on the first choice, arithmetic
    kept), `operating_points` (silent neurons at a given rise of perplexity, between two settings by a straight line),
    `allocation` (share of every layer). Neurons are silenced at positions that count only.

    Raises:
        ConfigError: an unknown rule or allocation, or a rule that this model has no score for.
        Interrupted: cancelled before anything was measured.
    """
    config, progress = config or DialConfig(), progress or Silent()
    samples = sample_neurons(model, text.split("train"), config.calibration_rows, layers, config.seed, progress)
    heldout = text.split("heldout")
    documents = len(heldout.document_ids)
    every, alone = _settings(model, samples, config, documents, progress)
    losses, partial = _measure(model, heldout, every, config.sequences, "all layers", config, progress)
    apart = losses
    if alone and not partial:
        apart, partial = _measure(model, heldout, alone, config.layer_sequences, "single layers", config, progress)
    measure = EvaluateConfig(bootstrap=config.bootstrap, confidence=config.confidence, seed=config.seed)
    rows = [_row(setting, losses, model.shape, measure) for setting in every]
    if apart is not losses:
        rows += [_row(setting, apart, model.shape, measure) for setting in alone]
    base = ratio(losses.reference.numpy(), losses.n.numpy(), measure)
    return Result(
        kind="dial",
        scalars={"ce_model": base.value, "perplexity_model": float(np.exp(base.value)), "n": float(losses.n.sum())},
        tables={
            "dial": rows,
            "operating_points": _operating_points(every, losses, measure),
            "allocation": _allocation_rows(every),
        },
        params={**config.model_dump(mode="json"), "model": model.ref.id, "mask": model.policy.describe()},
        inputs={"model": model.ref.weight_hash, "text": heldout.hash},
        notes=_notes(model, heldout, config, losses),
        seed=config.seed,
        partial=partial,
    )


def _settings(
    model: HookedModel, samples: Sequence[NeuronSample], config: DialConfig, documents: int, progress: Progress
) -> tuple[list[Setting], list[Setting]]:
    every: list[Setting] = []
    alone: list[Setting] = []
    progress.phase("calibrate", len(config.chosen_rules), "rules")
    for name in config.chosen_rules:
        if name not in RULES:
            raise ConfigError(f"unknown rule {name!r}", hint=nearest(name, RULES))
        rule = RULES[RULES.index(name)]
        wanted = config.allocation or OWN_ALLOCATION[rule]
        if wanted not in ALLOCATIONS:
            raise ConfigError(f"unknown allocation {wanted!r}", hint=nearest(wanted, ALLOCATIONS))
        allocation = ALLOCATIONS[ALLOCATIONS.index(wanted)]
        found = Calibration(model, samples, rule, config.seed)

        def add(
            where: list[Setting], allocation: str, share: float, layer: int | None, gates: Sequence[NeuronGate],
            rule: Rule = rule,
        ) -> None:  # fmt: skip
            empty = torch.zeros(2, documents, dtype=torch.float64)
            where.append(Setting(rule, allocation, share, layer, gates, empty[0], empty[1]))

        for share in config.chosen_shares:
            add(every, allocation, share, None, found.gates(share, allocation))
        for share in config.chosen_layer_shares:
            for number, sample in enumerate(samples):
                add(alone, "", share, sample.layer, [found.gate(number, share)])
        progress.advance()
    return every, alone


def _measure(
    model: HookedModel,
    text: PackedText,
    settings: Sequence[Setting],
    sequences: int,
    phase: str,
    config: DialConfig,
    progress: Progress,
) -> tuple[Losses, bool]:
    losses = Losses(model, len(text.document_ids))
    progress.phase(phase, min(sequences, len(text)), "sequences")
    for number, batch in enumerate(batches(model, text, config.batch_sequences, sequences)):
        if progress.cancelled():
            if not number:
                raise Interrupted("the dial was cancelled before anything was measured")
            return losses, True
        losses.add(batch, settings)
        progress.advance(len(batch.document))
    return losses, False


def _row(setting: Setting, losses: Losses, shape: ModelShape, config: EvaluateConfig) -> dict[str, Any]:
    seen = losses.n > 0
    n, base = losses.n[seen].numpy(), losses.reference[seen].numpy()
    found = ratio(setting.losses[seen].numpy(), n, config)
    rise = ratio(setting.losses[seen].numpy() - base, n, config)
    agreed = ratio(setting.agreed[seen].numpy(), n, config)
    grown = Estimate(*(float(np.expm1(value)) for value in rise))
    row: dict[str, Any] = {
        "rule": setting.rule,
        "allocation": setting.allocation,
        "layer": setting.layer,
        "share": setting.share,
        "silent": setting.silent,
    }
    for name, each in (("ce", found), ("perplexity_rise", grown), ("agreement", agreed)):
        row |= {name: each.value, f"{name}_low": each.low, f"{name}_high": each.high}
    kept = mlp_arithmetic(setting.rule, 1 - setting.silent, shape.gated)
    return row | {"perplexity": float(np.exp(found.value)), "mlp_flops_kept": kept, "n": int(n.sum())}


def mlp_arithmetic(rule: Rule, kept: float, gated: bool) -> float:
    """The share of an MLP's multiplications that a rule needs when it keeps this share of the neurons.

    Scores of `mlp_post` need every product but the last; the score of `cats` only the gate's; a random choice is known
    beforehand.
    """
    if rule == "random":
        return kept
    products = 3 if gated else 2
    first = 1 if rule == "cats" else products - 1
    return (first + (products - first) * kept) / products


def _operating_points(settings: Sequence[Setting], losses: Losses, config: EvaluateConfig) -> list[dict[str, Any]]:
    rows = []
    seen = losses.n > 0
    counts = resamples(int(seen.sum()), config.bootstrap, config.seed)
    below = np.concatenate([losses.n[seen].numpy()[None].sum(1), counts @ losses.n[seen].numpy()])
    for rule in dict.fromkeys(setting.rule for setting in settings):
        own = sorted((setting for setting in settings if setting.rule == rule), key=lambda setting: setting.silent)
        shares = np.array([0.0, *(setting.silent for setting in own)])
        rises = [np.zeros(len(below))]
        for setting in own:
            extra = (setting.losses - losses.reference)[seen].numpy()
            rises.append(np.expm1(np.concatenate([extra[None].sum(1), counts @ extra]) / below))
        for rise in RISES:
            found = np.array([crossing(shares, curve, rise) for curve in np.stack(rises, 1)])
            tail = (1 - config.confidence) / 2
            # A curve that never rises so far has no crossing; it is beyond the last share.
            low, high = np.quantile(np.where(np.isnan(found[1:]), shares[-1], found[1:]), [tail, 1 - tail])
            rows.append(
                {
                    "rule": rule,
                    "allocation": own[0].allocation,
                    "perplexity_rise": rise,
                    "silent": float(found[0]),
                    "silent_low": float(low),
                    "silent_high": float(high),
                    "paper": PUBLISHED[rule],
                }
            )
    return rows


def crossing(shares: np.ndarray, rises: np.ndarray, wanted: float) -> float:
    """Where the rise first exceeds what is wanted, between two shares by a straight line; nan where it never does."""
    above = np.nonzero(rises > wanted)[0]
    if not len(above):
        return float("nan")
    place = int(above[0])
    if place == 0:
        return float(shares[0])
    part = (wanted - rises[place - 1]) / (rises[place] - rises[place - 1])
    return float(shares[place - 1] + part * (shares[place] - shares[place - 1]))


def _allocation_rows(settings: Sequence[Setting]) -> list[dict[str, Any]]:
    return [
        {
            "rule": setting.rule,
            "allocation": setting.allocation,
            "share": setting.share,
            "layer": layer,
            "silent": 1 - setting.kept[layer] / setting.seen[layer],
        }
        for setting in settings
        for layer in sorted(setting.seen)
    ]


def _notes(model: HookedModel, text: PackedText, config: DialConfig, losses: Losses) -> tuple[str, ...]:
    return (
        f"{model.ref.id} on {text.ref.id}, held-out documents, {int(losses.n.sum())} predicted tokens of "
        f"{int((losses.n > 0).sum())} documents; mask: {model.policy.describe()}",
        "silent: share of the gated MLPs' neurons that were set to 0; perplexity_rise: relative to the model itself; "
        "intervals: bootstrap over documents",
        "mlp_flops_kept: of the MLP's multiplications if the silent neurons' were skipped once the score is known; "
        "no time is saved here: neurons are computed, then set to 0",
        f"thresholds from {config.calibration_rows} tokens of training documents; cett gives every layer the same "
        "error of its output, teal goes step by step to the layer that costs the stream least, the others are uniform",
        "the papers' figures: other and larger models; most were trained to be sparse",
    )
