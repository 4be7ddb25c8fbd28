"""Settings of probing a model with labelled texts; importing them loads no torch."""

from typing import Literal

from pydantic import Field

from workbench.core import Config


class TextRowsConfig(Config):
    """From a text to one row: where it is read, and how much of it."""

    pool: Literal["last", "mean"] = Field(
        default="last", description="read at the last token, or averaged over the counted tokens"
    )
    texts: int | None = Field(default=None, ge=10, description="texts drawn from the table; none: all")
    tokens: int = Field(default=128, ge=2, description="longer texts are cut to so many tokens")
    batch_texts: int = Field(default=16, ge=1, description="texts in one forward pass")
    bag: int = Field(default=2000, ge=1, description="most frequent tokens that the baseline of counts may read")
    seed: int = Field(default=0, ge=0, description="seed of drawing texts")


class ProbeSteeringConfig(Config):
    """How hard a probe's direction is pushed, and on what its effects are measured."""

    strengths: tuple[float, ...] = Field(
        default=(-4.0, -2.0, -1.0, 1.0, 2.0, 4.0),
        min_length=1,
        description="strengths, in standard deviations of the rows along the direction",
    )
    random: int = Field(default=3, ge=1, description="random directions of the same length to compare with")
    texts: int = Field(default=64, ge=4, description="labelled texts whose likelihood is compared between classes")
    tokens: int = Field(default=128, ge=2, description="longer texts are cut to so many tokens")
    sequences: int = Field(default=16, ge=2, description="sequences of ordinary text")
    batch_sequences: int = Field(default=8, ge=1, description="sequences in one forward pass")
    bootstrap: int = Field(default=1000, ge=10, description="resamples of the labelled texts for an interval")
    seed: int = Field(default=0, ge=0, description="seed of the random directions and of what is drawn")
