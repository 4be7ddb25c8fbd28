"""Settings of training a plain module; importing them loads no torch."""

from pydantic import Field

from workbench.core import Config


class ModuleConfig(Config):
    """How a small module is trained on batches that are drawn as it goes: Adam, a warm-up, a linear decay to zero."""

    steps: int = Field(default=2000, ge=1, description="optimiser steps")
    lr: float = Field(default=1e-3, gt=0, description="learning rate at the top of the schedule")
    warm_up: int = Field(default=100, ge=0, description="steps in which the learning rate rises from 0")
    decay_share: float = Field(default=0.5, ge=0, le=1, description="last share of the steps, with a falling rate")
    betas: tuple[float, float] = Field(default=(0.9, 0.999), description="Adam's averaging constants")
    clip: float | None = Field(default=1.0, gt=0, description="largest norm of the gradient; none: no clipping")
    steps_per_record: int = Field(default=50, ge=1, description="steps between two records; checkpoints fall on them")
    records_per_checkpoint: int = Field(default=5, ge=1, description="records between two checkpoints")
    seed: int = Field(default=0, ge=0, description="seed of every random draw")
