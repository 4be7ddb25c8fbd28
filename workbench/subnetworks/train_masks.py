"""train_masks: masks towards a target, resumable, tried again in another order where the loss spiked."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from workbench.core import Progress, child
from workbench.data import PackedText
from workbench.models import HookedModel, hash_tensors
from workbench.training import TokenRows, fit_tokens

from .config import MaskConfig
from .learner import MaskLearner, spiked
from .masks import Masks
from .subnetwork import Subnetwork
from .targets import Target

Look = Callable[[Subnetwork], dict[str, Any]]
"""What a mask is measured by while it trains; its numbers go into the record."""


@dataclass(frozen=True)
class TrainedMasks:
    """What `train_masks` returns.

    Attributes:
        subnetwork: the entries with a logit above 0.
        records: one for every chunk of the last try.
        tries: runs that were begun; spiked: whether even the last one has a spike.
        partial: cut short; the same call goes on.
    """

    subnetwork: Subnetwork
    masks: Masks
    records: list[dict[str, Any]]
    tries: int
    spiked: bool
    partial: bool


def train_masks(
    model: HookedModel,
    target: Target,
    text: PackedText,
    folder: Path,
    config: MaskConfig | None = None,
    *,
    names: Sequence[str] | None = None,
    weights: Mapping[str, Tensor] | None = None,
    about: Mapping[str, Any] | None = None,
    look: Look | None = None,
    look_every_chunks: int = 5,
    progress: Progress | None = None,
) -> TrainedMasks:
    """Train masks over a model's matrices on a text; the model stays as it is.

    Args:
        weights: a model to mask instead of the model's own weights (`Masks`).
        about: JSON that tells runs with other targets apart, and is kept in the subnetwork's details.

    Raises:
        ConfigError: the folder belongs to another run. TrainingError: the loss is no number.
    """
    config, tried = config or MaskConfig(), 0
    while True:
        tried += 1
        masks = Masks(model, names, weights=weights)
        learner = MaskLearner(folder.name, masks, target, config)
        rows = _rows(text, config, tried)

        def measured(next_chunk: int, last: bool, masks: Masks = masks) -> dict[str, Any]:
            return look(masks.hard()) if look is not None and (last or next_chunk % look_every_chunks == 0) else {}

        identity, place = _identity(masks, rows, config, about), folder / f"try-{tried}"
        records, partial = fit_tokens(
            learner, rows, place, identity, config.checkpoint_every_chunks, progress, measured
        )
        bad = spiked([record["loss"] for record in records])
        if partial or not bad or tried >= config.tries:
            break
    details = {**(about or {}), "steps": learner.step, "tokens": learner.tokens_seen, "tries": tried, "spiked": bad}
    if records:
        details |= {key: records[-1][key] for key in ("loss", "divergence", "undecided_share", "temperature")}
    subnetwork = Subnetwork(masks.hard().masks, details, model.ref)
    return TrainedMasks(subnetwork, masks, records, tried, bad, partial)


def _rows(text: PackedText, config: MaskConfig, tried: int) -> TokenRows:
    """As many passes as the steps take, in an order of each try's own."""
    per_chunk = config.batch_sequences * config.chunk_steps
    per_pass = max(len(text) // per_chunk, 1) * config.chunk_steps
    passes = -(-config.steps // per_pass)
    return TokenRows(text, per_chunk, passes, child(config.seed, "try", tried))


def _identity(masks: Masks, rows: TokenRows, config: MaskConfig, about: Mapping[str, Any] | None) -> dict[str, Any]:
    found = {
        "settings": config.model_dump(mode="json", exclude={"checkpoint_every_chunks"}),
        "rows": rows.identity,
        "model": masks.model.ref.model_dump(mode="json"),
        "base": hash_tensors(masks.base),
        "names": masks.names,
        "about": dict(about or {}),
    }
    return json.loads(json.dumps(found))
