"""Settings of in-context linear regression; importing them loads no torch."""

from typing import Literal

from pydantic import Field

from workbench.core import Config


class RegressionConfig(Config):
    """Contexts of pairs x, y = w . x + noise, with a new w for each (Akyürek et al. 2022)."""

    size: int = Field(default=4, ge=1, description="entries of x and w")
    pairs: int = Field(default=16, ge=1, description="pairs in a context")
    noise: float = Field(default=0.0, ge=0, description="variance of the noise, where each entry of w has variance 1")
    weights: Literal["normal", "ones"] = Field(
        default="normal", description="w is drawn anew, or always all ones (a control: nothing to infer)"
    )
    representation: int = Field(
        default=0, ge=0, description="leaky-ReLU layers between x and what w is multiplied with (Guo et al. 2023)"
    )
