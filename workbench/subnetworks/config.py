"""Settings of mask training and of targets; importing them loads no torch."""

from typing import Literal

from pydantic import Field

from workbench.core import Config

TargetName = Literal["corpus", "own", "full"]


class MaskConfig(Config):
    """How a mask over a model's weights is trained: continuous sparsification (Savarese et al. 2020; Chang and Bergen).

    The temperature rises geometrically from 1 to `temperature` over the steps; in the paper by 1.001 a step, which is
    148 after 5,000 steps, at a learning rate of 5e-5. Where the temperature rises in few steps, each moves a soft mask
    further than the one before; `cooldown` holds against that.
    """

    penalty: float = Field(default=0.0, ge=0, description="lambda: weight of the mean of the soft mask in the loss")
    steps: int = Field(default=600, ge=1, description="most optimiser steps")
    batch_sequences: int = Field(default=32, ge=1, description="sequences in a step")
    lr: float = Field(default=2e-3, gt=0, description="Adam's learning rate for the mask's logits")
    cooldown: float = Field(
        default=0.0, ge=0, le=1, description="last share of the steps, over which the learning rate falls geometrically"
    )
    cooled: float = Field(default=0.03, gt=0, le=1, description="what is left of the learning rate at the last step")
    temperature: float = Field(default=200.0, ge=1, description="temperature at the last step")
    settled: float = Field(
        default=0.01, ge=0, description="stop once so many entries are undecided, as a share of those kept; 0: never"
    )
    tries: int = Field(default=3, ge=1, description="runs, each in another order, while the loss spikes")
    chunk_steps: int = Field(default=20, ge=1, description="steps between two records")
    checkpoint_every_chunks: int = Field(default=10, ge=1, description="records between two checkpoints")
    seed: int = Field(default=0, ge=0, description="seed of every random draw")


class TargetConfig(Config):
    """What the subnetwork is trained to answer."""

    target: TargetName = Field(
        default="corpus",
        description="corpus: bigrams counted in the text; own: the model's answer to the token alone; full: the "
        "model's whole answer",
    )
    discount: float = Field(
        default=0.75, ge=0, lt=1, description="taken off every count for backing off to single tokens; 0: raw counts"
    )
