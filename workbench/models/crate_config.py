"""Size of a CRATE; importing it loads no torch."""

from typing import Literal

from pydantic import Field, model_validator

from workbench.core import Config


class CrateConfig(Config):
    """A small classifier of pictures, cut into patches, from CRATE's blocks or from ordinary ones."""

    blocks: Literal["crate", "plain"] = Field(default="crate", description="what each block is made of")
    layers: int = Field(default=6, ge=1, description="blocks; two of CRATE's have the weights of a plain one")
    width: int = Field(default=64, ge=1, description="size of a token")
    heads: int = Field(default=4, ge=1, description="subspaces of the attention")
    patches: int = Field(default=16, ge=1, description="tokens of a picture, beside the one that is read at the end")
    values: int = Field(default=4, ge=1, description="numbers in a patch")
    classes: int = Field(default=10, ge=2, description="classes")
    step: float = Field(default=0.1, gt=0, description="step size of ISTA (eta)")
    penalty: float = Field(default=0.1, ge=0, description="weight of the absolute values in ISTA (lambda)")

    @model_validator(mode="after")
    def _heads_fit(self) -> "CrateConfig":
        if self.width % self.heads:
            raise ValueError(f"{self.heads} heads do not divide a width of {self.width}")
        return self
