"""Steer by a probe: whether the model then expects what the probe reads, and what else it does to ordinary text."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from workbench.core import Edit, Interrupted, Progress, Result, Silent, Site, generator
from workbench.data import LabelledTexts, PackedText
from workbench.evaluation import Estimate, EvaluateConfig, difference
from workbench.models import HookedModel, TokenBatch
from workbench_probes import FittedProbe

from .probe_config import ProbeSteeringConfig
from .text_rows import text_batches, token_ids

Array = np.ndarray
Batches = Sequence[tuple[TokenBatch, Bool[Tensor, "b t"]]]


@dataclass(frozen=True)
class Push:
    """So many standard deviations towards a class, along the probe's direction or a random one."""

    towards: str
    direction: str
    strength: float
    vector: Float[Tensor, " d"]

    def edit(self, site: Site, rows: Bool[Tensor, "b t"]) -> Edit:
        return Edit(site, "add", self.vector, rows)


def steer_by_probe(
    model: HookedModel,
    probe: FittedProbe,
    rows: Float[Array, "n d"],
    labelled: LabelledTexts,
    text: PackedText,
    config: ProbeSteeringConfig | None = None,
    progress: Progress | None = None,
) -> Result:
    """What adding a probe's direction does, beside random directions of the same length.

    Strengths are in standard deviations of `rows` along the direction; the same length is added at every counted
    position. Table `steering`: towards, direction, strength, length; preference (nats a token by which labelled texts
    of that class lose less than the others, with a bootstrap over texts; a random direction is held against the first
    class); on ordinary text kl (nats a token from the unsteered model), loss and loss_change (nats a token),
    perplexity.

    Raises:
        Interrupted: cancelled; nothing is left to judge from a part.
    """
    config, progress = config or ProbeSteeringConfig(), progress or Silent()
    pushes = _pushes(probe, rows, config, str(model.device))
    told = labelled.take(config.texts, config.seed)
    own = list(text_batches(model, token_ids(model, told.texts, config.tokens), config.batch_sequences))
    ordinary = list(_packed(model, text, config))
    progress.phase("steer", total=len(own) + len(ordinary), unit="batches")
    told = told.part(np.concatenate([here for here, _, _ in own]))  # in the order of the batches
    runs = Runs(model, probe.site, pushes, progress)
    change, counts = runs.changes([(batch, mask) for _, batch, mask in own])
    effects = runs.side_effects(ordinary)
    table = []
    for push, moved, effect in zip(pushes, change, effects, strict=True):
        preference = _preference(moved, counts, _belongs(told, push.towards), config)
        row = {"towards": push.towards, "direction": push.direction, "strength": push.strength}
        row |= {"length": float(push.vector.norm()), "preference": preference.value}
        table.append({**row, "preference_low": preference.low, "preference_high": preference.high, **effect})
    return Result(
        kind="probe steering",
        tables={"steering": table},
        params={**config.model_dump(mode="json"), "model": model.ref.id, "site": str(probe.site), "text": text.ref.id},
        notes=(
            f"{len(told)} labelled texts and {len(text)} sequences of {text.ref.id}; added at every position that "
            "counts; random directions have the mean length of the probe's.",
        ),
        seed=config.seed,
    )


def _pushes(probe: FittedProbe, rows: Float[Array, "n d"], config: ProbeSteeringConfig, device: str) -> list[Push]:
    names = probe.classes[1:] if len(probe.classes) == 2 else probe.classes or ("number",)
    found = [(name, "probe", probe.direction(name if probe.classes else None)) for name in names]
    sigmas = [float((rows @ direction.numpy()).std()) for _, _, direction in found]
    drawn = torch.randn(config.random, rows.shape[1], generator=generator(config.seed, "random directions"))
    found += [(names[0], f"random {i + 1}", row / row.norm()) for i, row in enumerate(drawn)]
    sigmas += [float(np.mean(sigmas))] * config.random
    return [
        Push(name, kind, strength, (strength * sigma * direction).to(device))
        for (name, kind, direction), sigma in zip(found, sigmas, strict=True)
        for strength in config.strengths
    ]


def _belongs(told: LabelledTexts, name: str) -> Bool[Array, " n"]:
    """Whether each text is of the class; of numbers, whether it lies above the median."""
    if told.classes:
        return told.targets == told.classes.index(name)
    return told.targets > np.median(told.targets)


def _preference(
    change: Float[Array, " n"], tokens: Float[Array, " n"], own: Bool[Array, " n"], config: ProbeSteeringConfig
) -> Estimate:
    """Mean change of the loss on the other texts less that on the class's own, in nats a token."""
    measure = EvaluateConfig(bootstrap=config.bootstrap, seed=config.seed)
    return difference((change * ~own, tokens * ~own), (change * own, tokens * own), measure)


def _packed(
    model: HookedModel, text: PackedText, config: ProbeSteeringConfig
) -> Iterator[tuple[TokenBatch, Bool[Tensor, "b t"]]]:
    special = tuple(model.tokenizer.special_ids)
    for start in range(0, len(text), config.batch_sequences):
        part = text.take(torch.arange(start, min(start + config.batch_sequences, len(text))))
        yield TokenBatch(part.ids.long(), part.lengths.long()), part.mask(model.policy, special)


@dataclass(frozen=True)
class Runs:
    """A model run plainly and with every push, batch by batch."""

    model: HookedModel
    site: Site
    pushes: Sequence[Push]
    progress: Progress

    def _logs(self, batch: TokenBatch, mask: Bool[Tensor, "b t"], push: Push | None = None) -> Tensor:
        logits = self.model.run(batch, [push.edit(self.site, mask)] if push else []).logits
        assert logits is not None
        return logits[:, :-1].float().log_softmax(-1)

    def _each(self, batches: Batches) -> Iterator[tuple[TokenBatch, Bool[Tensor, "b t"]]]:
        for batch, mask in batches:
            if self.progress.cancelled():
                raise Interrupted("steering was cancelled", hint="the probe itself is saved")
            yield batch, mask
            self.progress.advance()

    @torch.no_grad()
    def changes(self, batches: Batches) -> tuple[Float[Array, "pushes n"], Float[Array, " n"]]:
        """Changes of each text's summed next-token loss in nats, and how many tokens of it were predicted."""
        found, counts = [], []
        for batch, mask in self._each(batches):
            following, kept = batch.ids[:, 1:, None].to(self.model.device), mask[:, 1:].to(self.model.device)
            logs = [self._logs(batch, mask, push).gather(2, following)[..., 0] for push in (None, *self.pushes)]
            sums = -(torch.stack(logs) * kept).sum(2).double().cpu()
            found.append(sums[1:] - sums[0])
            counts.append(kept.sum(1).double().cpu())
        return torch.cat(found, 1).numpy(), torch.cat(counts).numpy()

    @torch.no_grad()
    def side_effects(self, batches: Batches) -> list[dict[str, float]]:
        """What each push does to ordinary text."""
        totals, tokens, plain = np.zeros((len(self.pushes), 2)), 0, 0.0
        for batch, mask in self._each(batches):
            kept = (mask[:, :-1] & mask[:, 1:]).to(self.model.device)
            following = batch.ids[:, 1:].to(self.model.device)[kept][:, None]
            before = self._logs(batch, mask)[kept]
            plain -= float(before.gather(1, following).sum())
            tokens += int(kept.sum())
            for total, push in zip(totals, self.pushes, strict=True):
                after = self._logs(batch, mask, push)[kept]
                kl = (before.exp() * (before - after)).sum()
                total += (float(kl), -float(after.gather(1, following).sum()))
        return [
            {"kl": kl, "loss": loss, "loss_change": loss - plain / tokens, "perplexity": float(np.exp(loss))}
            for kl, loss in (totals / tokens).tolist()
        ]
