"""Settings of training a language model with Edits in force; importing them loads no torch."""

from typing import Literal

from pydantic import Field

from workbench.core import Config

Trains = Literal["model", "codes", "both"]


class LanguageConfig(Config):
    """How a language model, dictionaries in it, or both are trained on tokens: AdamW on next-token cross-entropy."""

    trains: Trains = Field(default="both", description="what moves: the model, the codes of its dictionaries, or both")
    steps: int | None = Field(default=None, ge=1, description="optimiser steps; none: as many as the rows give")
    batch_sequences: int = Field(default=64, ge=1, description="sequences in a step")
    forward_sequences: int | None = Field(
        default=None, ge=1, description="sequences in one forward pass, whose gradients are added; none: the batch"
    )
    lr: float = Field(default=1e-3, gt=0, description="learning rate at the top of the schedule")
    codes_lr: float | None = Field(default=None, gt=0, description="the same for dictionaries; none: lr")
    warm_up: int = Field(default=100, ge=0, description="steps in which the learning rate rises from 0")
    decay_share: float = Field(default=0.5, ge=0, le=1, description="last share of the steps, with a falling rate")
    betas: tuple[float, float] = Field(default=(0.9, 0.999), description="Adam's averaging constants")
    weight_decay: float = Field(default=0.01, ge=0, description="decay of the model's matrices; dictionaries have none")
    clip: float | None = Field(
        default=1.0,
        gt=0,
        description="largest norm of the gradient, the model's and the dictionaries' apart; none: no clipping",
    )
    autocast: bool = Field(
        default=False, description="multiply in bfloat16 (weights stay float32); faster where the processor can"
    )
    checkpoint_every_chunks: int = Field(default=10, ge=1, description="chunks between two checkpoints")
    probe_every_chunks: int | None = Field(default=None, ge=1, description="chunks between two measurements")
    seed: int = Field(default=0, ge=0, description="seed of every random draw")
