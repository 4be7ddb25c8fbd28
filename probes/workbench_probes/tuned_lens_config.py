"""Settings of a tuned lens; importing them loads no torch."""

from pydantic import Field

from workbench.core import Config


class LensConfig(Config):
    """Translators of residual streams, trained to say early what the model will say at last."""

    every: int = Field(default=1, ge=1, description="a translator for every n-th layer, the last ones first")
    sequences: int = Field(default=96, ge=1, description="sequences trained on")
    chunk_sequences: int = Field(default=24, ge=1, description="sequences of rows in memory at a time")
    passes: int = Field(default=2, ge=1, description="times that each chunk is gone through")
    batch_rows: int = Field(default=256, ge=1, description="rows in a step")
    lr: float = Field(default=3e-4, gt=0, description="learning rate at the top of the schedule")
    vocabulary: int | None = Field(
        default=8192, ge=2, description="train on the tokens with the most probability only; none: on all"
    )
    ridge: float = Field(default=0.1, ge=0, description="penalty of the affine map that training may start from")
    heldout_sequences: int = Field(default=24, ge=2, description="held-out sequences that both lenses are judged on")
    bootstrap: int = Field(default=1000, ge=10, description="resamples of the documents for an interval")
    seed: int = Field(default=0, ge=0, description="seed of the order of rows and of resampling")
