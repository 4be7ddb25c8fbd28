"""Settings of linear probes; importing them loads no torch."""

from typing import Literal

from pydantic import Field, model_validator

from workbench.core import Config

Method = Literal["logistic", "ridge", "mean-difference", "sparse"]


class ProbeConfig(Config):
    """How labels are read from rows, and against what the reading is held."""

    method: Method = Field(
        default="logistic", description="the linear reader; sparse: logistic on few columns; numbers want ridge"
    )
    units: int = Field(default=5, ge=1, description="columns that a sparse probe may read, chosen on training rows")
    folds: int = Field(default=4, ge=2, description="parts of the groups, each tested by probes that did not see it")
    inner_folds: int = Field(default=3, ge=2, description="parts of the training groups, for choosing the penalty")
    strengths: tuple[float, ...] = Field(
        default=(0.001, 0.01, 0.1, 1.0), min_length=1, description="inverse penalties to choose among"
    )
    shuffles: int = Field(default=10, ge=2, description="times that labels are shuffled for the null")
    null_confidence: float = Field(default=0.999, gt=0, lt=1, description="coverage of the shuffled labels' interval")
    bins: int = Field(default=10, ge=2, description="bins of confidence for the calibration error")
    bootstrap: int = Field(default=2000, ge=10, description="resamples of the groups for an interval")
    confidence: float = Field(default=0.95, gt=0, lt=1, description="coverage of an interval")
    seed: int = Field(default=0, ge=0, description="seed of splits, shuffles and resamples")

    @model_validator(mode="after")
    def _positive(self) -> "ProbeConfig":
        if min(self.strengths) <= 0:
            raise ValueError("strengths are larger than 0")
        return self
