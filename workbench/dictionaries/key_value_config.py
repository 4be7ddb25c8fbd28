"""Settings of the discrete key-value bottleneck; importing them loads no torch."""

from typing import Literal

from pydantic import Field, model_validator

from workbench.core import Config


class KeyValueConfig(Config):
    """How many codebooks of keys there are, and how their keys are found on unlabelled rows."""

    heads: int = Field(default=64, ge=1, description="codebooks, each with a projection of its own")
    keys: int = Field(default=256, ge=1, description="keys of each codebook")
    key_size: int = Field(default=8, ge=1, description="dimensions of a key; slices: set by the site's size")
    k: int = Field(default=1, ge=1, description="nearest keys looked up in each codebook")
    projection: Literal["random", "slices"] = Field(
        default="random", description="what a codebook sees: a fixed random projection, or its slice of the row"
    )
    pool: Literal["mean", "sum"] = Field(default="mean", description="how the values found are put together")
    decay: float = Field(default=0.9, gt=0, lt=1, description="how much of a key's moving average a batch keeps")
    key_passes: int = Field(default=10, ge=0, description="passes over the unlabelled rows in which the keys move")
    key_batch: int = Field(default=256, ge=1, description="unlabelled rows in one move of the keys")
    replace_below: float = Field(
        default=0.1, ge=0, lt=1, description="a key used less than this share of the mean takes a row of the batch"
    )
    start_seed: int = Field(default=0, ge=0, description="added to the run's seed when keys and projections are drawn")

    @model_validator(mode="after")
    def _enough_keys(self) -> "KeyValueConfig":
        if self.k > self.keys:
            raise ValueError(f"k {self.k} is more than the {self.keys} keys of a codebook")
        return self
