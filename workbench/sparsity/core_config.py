"""Settings of core neurons; importing them loads no torch."""

from pydantic import Field

from workbench.core import Config


class CoreConfig(Config):
    """Which neurons a token and a sentence need most, as CoreInfer (Wang et al. 2024) defines it."""

    alpha: float = Field(default=0.4, gt=0, le=1, description="share of a token's activations that is its core")
    beta: float = Field(default=0.25, gt=0, le=1, description="share of a layer's neurons that is a sentence's core")
