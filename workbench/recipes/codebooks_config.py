"""Settings of codebooks in a language model; importing them loads no torch."""

from typing import Literal

from pydantic import Field

from workbench.core import Config


class CodebooksConfig(Config):
    """How codebooks, the model around them, or both are trained on text."""

    train: Literal["codes", "both", "model"] = Field(
        default="codes", description="what moves; codes: the model stays as it is, and its layers below the first site "
        "need no gradient"
    )  # fmt: skip
    tokens: int = Field(default=300_000, ge=1, description="tokens to train on; passes over the text follow from it")
    batch_sequences: int = Field(default=16, ge=1, description="sequences in a step")
    lr: float = Field(default=1e-3, gt=0, description="learning rate of the model at the top of the schedule")
    codes_lr: float | None = Field(default=None, gt=0, description="the same for the codes; none: lr")
    warm_up: int = Field(default=10, ge=0, description="steps in which the learning rate rises from 0")
    decay_share: float = Field(default=0.5, ge=0, le=1, description="last share of the steps, with a falling rate")
    clip: float | None = Field(default=1.0, gt=0, description="largest norm of a gradient; none: no clipping")
    autocast: bool = Field(default=False, description="multiply in bfloat16 while weights stay as they are")
    start_sequences: int = Field(default=64, ge=1, description="sequences whose activations the codes start from")
    heldout_sequences: int = Field(default=64, ge=1, description="held-out sequences on which losses are measured")
    checkpoint_every_steps: int = Field(default=10, ge=1, description="steps between two checkpoints")
    seed: int = Field(default=0, ge=0, description="seed of every random draw")
