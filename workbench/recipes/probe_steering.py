"""Steer by a probe: whether the model then expects what the probe reads, and what else it does to ordinary text."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from workbench.core import Edit, Progress, Result, Silent, Site, generator
from workbench.data import LabelledTexts, PackedText
from workbench.evaluation import Estimate, EvaluateConfig, difference
from workbench.models import HookedModel, TokenBatch
from workbench_probes import FittedProbe

from .probe_config import ProbeSteeringConfig
from .text_rows import text_batches, token_ids

Array = np.ndarray
Batches = Sequence[tuple[TokenBatch, Bool[Tensor, "b t"]]]


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
    """
    config, progress = config or ProbeSteeringConfig(), progress or Silent()
    names = probe.classes[1:] if len(probe.classes) == 2 else probe.classes or ("number",)
    width = probe.weight.shape[1]
    drawn = torch.randn(config.random, width, generator=generator(config.seed, "random directions"))
    directions = [(name, "probe", probe.direction(name if probe.classes else None)) for name in names]
    directions += [(names[0], f"random {i + 1}", row / row.norm()) for i, row in enumerate(drawn)]
    sigma = {name: float((rows @ direction.numpy()).std()) for name, _, direction in directions[: len(names)]}
    length = float(np.mean(list(sigma.values())))
    told = labelled.take(config.texts, config.seed)
    own = list(text_batches(model, token_ids(model, told.texts, config.tokens), config.batch_sequences))
    told = told.part(np.concatenate([here for here, _, _ in own]))
    own, ordinary = [(batch, mask) for _, batch, mask in own], list(_packed(model, text, config))
    plain = _losses(model, own, None)
    progress.phase("steering", total=len(directions) * len(config.strengths), unit="runs")
    rows_out: list[dict[str, Any]] = []
    for name, kind, direction in directions:
        for strength in config.strengths:
            if progress.cancelled():
                break
            added = strength * (sigma[name] if kind == "probe" else length)
            edit = (probe.site, direction * added)
            change = (_losses(model, own, edit)[0] - plain[0], plain[1])
            moved = _preference(change, _belongs(told, name), config)
            row = {"towards": name, "direction": kind, "strength": strength, "length": abs(added)}
            row |= {"preference": moved.value, "preference_low": moved.low, "preference_high": moved.high}
            rows_out.append({**row, **_side_effects(model, ordinary, edit)})
            progress.advance()
    return Result(
        kind="probe steering",
        tables={"steering": rows_out},
        params={**config.model_dump(mode="json"), "site": str(probe.site), "text": text.ref.id},
        notes=(
            f"{len(told)} labelled texts and {len(text)} sequences of {text.ref.id}; added at every position that "
            "counts; random directions have the mean length of the probe's.",
        ),
        seed=config.seed,
        partial=len(rows_out) < len(directions) * len(config.strengths),
    )


def _belongs(told: LabelledTexts, name: str) -> Bool[Array, " n"]:
    """Whether each text is of the class; of numbers, whether it lies above the median."""
    if told.classes:
        return told.targets == told.classes.index(name)
    return told.targets > np.median(told.targets)


def _preference(
    change: tuple[Float[Array, " n"], Float[Array, " n"]], own: Bool[Array, " n"], config: ProbeSteeringConfig
) -> Estimate:
    """Mean change of the loss on the other texts less that on the class's own, in nats a token."""
    total, tokens = change
    measure = EvaluateConfig(bootstrap=config.bootstrap, seed=config.seed)
    return difference((total * ~own, tokens * ~own), (total * own, tokens * own), measure)


def _packed(
    model: HookedModel, text: PackedText, config: ProbeSteeringConfig
) -> Iterator[tuple[TokenBatch, Bool[Tensor, "b t"]]]:
    special = tuple(model.tokenizer.special_ids)
    for start in range(0, len(text), config.batch_sequences):
        part = text.take(torch.arange(start, min(start + config.batch_sequences, len(text))))
        yield TokenBatch(part.ids.long(), part.lengths.long()), part.mask(model.policy, special)


def _logits(model: HookedModel, batch: TokenBatch, mask: Tensor, edit: tuple[Site, Tensor] | None) -> Tensor:
    edits = [Edit(edit[0], "add", edit[1].to(model.device), mask)] if edit else []
    logits = model.run(batch, edits).logits
    assert logits is not None
    return logits[:, :-1].float().log_softmax(-1)


@torch.no_grad()
def _losses(
    model: HookedModel, batches: Batches, edit: tuple[Site, Tensor] | None
) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
    """Of each text the sum of its next-token losses in nats, and how many there are."""
    losses, tokens = [], []
    for batch, mask in batches:
        following = batch.ids[:, 1:, None].to(model.device)
        kept = mask[:, 1:].to(model.device)
        loss = -_logits(model, batch, mask, edit).gather(2, following)[..., 0]
        losses.append((loss * kept).sum(1).double().cpu())
        tokens.append(kept.sum(1).double().cpu())
    return torch.cat(losses).numpy(), torch.cat(tokens).numpy()


@torch.no_grad()
def _side_effects(model: HookedModel, batches: Batches, edit: tuple[Site, Tensor]) -> dict[str, float]:
    totals = np.zeros(4)
    for batch, mask in batches:
        kept = (mask[:, :-1] & mask[:, 1:]).to(model.device)
        before, after = (_logits(model, batch, mask, edited)[kept] for edited in (None, edit))
        following = batch.ids[:, 1:].to(model.device)[kept][:, None]
        kl = (before.exp() * (before - after)).sum(-1)
        losses = [-logs.gather(1, following).sum() for logs in (before, after)]
        totals += np.array([float(kl.sum()), *(float(loss) for loss in losses), float(kept.sum())])
    kl, before_loss, after_loss = (totals[:3] / totals[3]).tolist()
    return {
        "kl": kl,
        "loss": after_loss,
        "loss_change": after_loss - before_loss,
        "perplexity": float(np.exp(after_loss)),
    }
