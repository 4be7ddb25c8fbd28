"""Settings of the planted-truth bench, and the recipe of every gate; importing them loads no torch."""

from typing import Any, Literal

from pydantic import Field

from workbench.core import Config


class Recipe(Config):
    """What a gate is trained with on planted features, tried out on bench A for recovery, not for FVU."""

    rows: int = Field(default=3_000_000, ge=1, description="training rows, each seen once")
    dictionary: dict[str, Any] = Field(default_factory=dict, description="settings of the dictionary beyond d_sae, k")
    train: dict[str, Any] = Field(default_factory=dict, description="settings of the training beyond the seed")


class PlantedBenchConfig(Config):
    """Which families are held against which planted features."""

    bench: Literal["A", "B", "both"] = Field(default="both", description="A: independent; B: hierarchical, correlated")
    families: tuple[str, ...] = Field(default=(), description="families of dictionaries; none: every autoencoder")
    width: int = Field(default=256, ge=1, description="features of a dictionary")
    rows_share: float = Field(default=1.0, gt=0, le=1, description="share of the recipe's training rows")
    held_out_rows: int = Field(default=20_000, ge=2, description="fresh rows for FVU, L0 and absorption")
    seed: int = Field(default=0, ge=0, description="seed of truth, rows and training")


_TRAIN: dict[str, Any] = {"lr": 1e-2, "warm_up": 200, "batch_rows": 1024, "checkpoint_every_chunks": 10_000}
RECIPES: dict[str, Recipe] = {
    "topk": Recipe(rows=2_000_000, train=_TRAIN),
    "batchtopk": Recipe(rows=2_500_000, train=_TRAIN),
    "gated": Recipe(rows=2_000_000, train=_TRAIN, dictionary={"l1": 0.4}),
    "relu": Recipe(rows=2_000_000, train=_TRAIN, dictionary={"l1": 0.25}),
    "jumprelu": Recipe(
        rows=5_000_000, train={**_TRAIN, "lr": 2e-3}, dictionary={"k": None, "l0": 0.035, "bandwidth": 2.0}
    ),
    "matryoshka": Recipe(rows=2_500_000, train=_TRAIN),
}
"""Gate -> its recipe."""
DEFAULT_RECIPE = Recipe(train=_TRAIN)
"""For a gate that has none of its own."""
