"""Settings of a training run; importing them loads no torch."""

from typing import Literal

from pydantic import Field

from workbench.core import Config


class TrainConfig(Config):
    """How dictionaries are trained: Adam, a warm-up, a flat stretch, a linear decay to zero."""

    steps: int | None = Field(default=None, ge=1, description="optimiser steps; none: as many as the rows give")
    replays: int = Field(default=1, ge=1, description="times that each chunk of rows is gone through")
    batch_rows: int = Field(default=1024, ge=1, description="rows in a step")
    lr: float = Field(default=5e-3, gt=0, description="learning rate at the top of the schedule")
    warm_up: int = Field(default=20, ge=0, description="steps in which the learning rate rises from 0")
    decay_share: float = Field(default=0.6, ge=0, le=1, description="last share of the steps, with a falling rate")
    sparsity_warm_up: float = Field(
        default=0.05, ge=0, le=1, description="first share of the steps, in which the sparsity penalty rises from 0"
    )
    optimiser: Literal["adam", "row-sparse-adam"] = Field(
        default="adam",
        description="row-sparse-adam: only the features active in a batch move; other mathematics, for large ones",
    )
    betas: tuple[float, float] = Field(default=(0.9, 0.99), description="Adam's averaging constants")
    skip_lr_factor: float = Field(default=0.1, ge=0, description="learning rate of skip connections, relative to lr")
    clip: float | None = Field(default=None, gt=0, description="largest norm of a gradient; none: no clipping")
    outlier_factor: float | None = Field(
        default=6.0, gt=1, description="leave out rows whose target's norm exceeds this many medians; none: keep all"
    )
    initial_rows: int = Field(default=32768, ge=1, description="rows from which the starting weights are made")
    checkpoint_every_chunks: int = Field(default=5, ge=1, description="chunks between two checkpoints, at least")
    checkpoint_share: float | None = Field(
        default=0.05, gt=0, description="share of the time that checkpoints may take, by putting them off; none: any"
    )
    probe_every_chunks: int | None = Field(
        default=None,
        ge=1,
        description="chunks between two measurements of the loss recovered; none: it is not measured",
    )
    diverged_factor: float = Field(default=10.0, gt=1, description="stop when FVU exceeds its first value so often")
    seed: int = Field(default=0, ge=0, description="seed of every random draw")
