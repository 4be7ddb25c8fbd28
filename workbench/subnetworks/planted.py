"""Planted truth: do masks find the weights that are known to carry a bigram table?"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from workbench.core import Progress, TextRef, generator
from workbench.data import PackedText
from workbench.models import HookedModel, build_planted_bigram, wrap

from .config import MaskConfig
from .subnetwork import Subnetwork
from .targets import BigramTarget
from .train_masks import TrainedMasks, train_masks

SEARCH = MaskConfig(penalty=2.0, steps=200, batch_sequences=16, lr=2e-2, temperature=100.0, chunk_steps=20)
_SEQUENCES, _LENGTH = 512, 16


class TableTarget(BigramTarget):
    """A table of bigrams that is known exactly."""

    def __init__(self, table: Float[Tensor, "v v"]) -> None:
        self.table = table

    def probs(self, tokens: Int[Tensor, " m"]) -> Float[Tensor, "m v"]:
        return self.table[tokens]


@dataclass(frozen=True)
class PlantedSearch:
    """What a search for the planted table found.

    Attributes:
        auroc: chance that the mask of a weight of the table is above that of a distractor, over all pairs.
        found: share of the table's weights that are kept; kept: share of the distractors that are.
    """

    auroc: float
    found: float
    kept: float
    weights: int
    distractors: int
    trained: TrainedMasks


def search_planted(
    folder: Path, config: MaskConfig = SEARCH, seed: int = 0, progress: Progress | None = None
) -> PlantedSearch:
    """Train a mask on `planted-bigram` towards the table that its known weights alone compute."""
    planted = build_planted_bigram(seed)
    model = wrap(planted.model, planted.tokenizer)
    trained = train_masks(
        model, TableTarget(planted_table(model, planted.table)), random_text(model, seed), folder, config,
        about={"planted": seed}, progress=progress,
    )  # fmt: skip
    logits = dict(trained.masks.named_logits())
    inside = torch.cat([logits[name].detach()[mask] for name, mask in planted.table.items()])
    outside = torch.cat([logits[name].detach()[mask] for name, mask in planted.distractors.items()])
    return PlantedSearch(
        auroc=auroc(inside, outside),
        found=float((inside > 0).float().mean()),
        kept=float((outside > 0).float().mean()),
        weights=len(inside),
        distractors=len(outside),
        trained=trained,
    )


@torch.no_grad()
def planted_table(model: HookedModel, table: Mapping[str, Bool[Tensor, "*s"]]) -> Float[Tensor, "v v"]:
    """What the known weights alone say after each token."""
    everything = {name: torch.zeros_like(model.params()[name], dtype=torch.bool) for name in model.matrices()}
    weights = Subnetwork(everything | dict(table)).weights(model)
    logits = model.run(torch.arange(model.shape.d_vocab)[:, None], weights=weights).logits
    assert logits is not None
    return torch.softmax(logits[:, 0].float(), 1)


def random_text(model: HookedModel, seed: int) -> PackedText:
    """Sequences of tokens drawn evenly, BOS in front."""
    ids = torch.randint(
        1, model.shape.d_vocab, (_SEQUENCES, _LENGTH), generator=generator(seed, "random text"), dtype=torch.int32
    )
    ids[:, 0] = 0
    lengths, rows = torch.full((_SEQUENCES,), _LENGTH, dtype=torch.int32), torch.arange(_SEQUENCES, dtype=torch.int32)
    ref = TextRef(id="random tokens", hash=f"random tokens {seed}", licence="CC0-1.0", sequence_length=_LENGTH)
    return PackedText(ids, lengths, rows, [str(row) for row in range(_SEQUENCES)], ref)


def auroc(inside: Float[Tensor, " m"], outside: Float[Tensor, " n"]) -> float:
    """Chance that a score inside is above one outside; ties count half."""
    above = (inside[:, None] > outside).double().mean()
    return float(above + 0.5 * (inside[:, None] == outside).double().mean())
