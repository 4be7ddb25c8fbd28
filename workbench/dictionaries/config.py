"""Settings of the dictionaries; importing them loads no torch."""

from typing import Literal

from pydantic import Field, model_validator

from workbench.core import Config


class AffineConfig(Config):
    """How an affine map is fitted before training."""

    ridge: float = Field(default=1e-2, ge=0, description="ridge penalty, in units of the inputs' mean variance")


class CoderConfig(AffineConfig):
    """Size and starting point of a sparse coder."""

    d_sae: int = Field(default=2048, ge=1, description="number of features")
    k: int = Field(default=32, ge=1, description="features that may be active in one row (L0)")
    start: Literal["data", "random"] = Field(
        default="data", description="encoder rows start as rows of data, or as random directions"
    )
    decoder_share: float = Field(
        default=0.3, ge=0, description="share of its row's residual that a feature started from data writes"
    )

    @model_validator(mode="after")
    def _k_fits(self) -> "CoderConfig":
        if self.k > self.d_sae:
            raise ValueError(f"k {self.k} is more than the {self.d_sae} features")
        return self
