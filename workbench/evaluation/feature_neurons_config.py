"""Settings of what features and circuits need of a model's neurons; importing them loads no torch."""

from pydantic import Field

from workbench.core import Config


class FeatureNeuronsConfig(Config):
    """On which examples a feature's neurons are looked for, and how many are silenced."""

    examples: int = Field(default=16, ge=1, description="strongest examples of the scan, one a sequence")
    window: int = Field(default=32, ge=1, description="tokens before an example that are read")
    sizes: tuple[int, ...] = Field(default=(1, 4, 16, 64, 256, 1024), min_length=1, description="neurons silenced")
    top: int = Field(default=10, ge=1, description="neurons listed")
    alpha: float = Field(default=0.4, gt=0, le=1, description="share of a token's activations that is its core")
    beta: float = Field(default=0.25, gt=0, le=1, description="share of a layer's neurons that is a core")
    seed: int = Field(default=0, ge=0, description="seed of the random control")


class CircuitNeuronsConfig(Config):
    """How many of the neurons behind a circuit are silenced, or kept alone."""

    shares: tuple[float, ...] = Field(
        default=(0.001, 0.01, 0.05, 0.1, 0.25, 0.5), min_length=1, description="shares of all neurons"
    )
    top: int = Field(default=10, ge=1, description="neurons listed")
    draws: int = Field(default=3, ge=1, description="random sets of neurons per share")
    alpha: float = Field(default=0.4, gt=0, le=1, description="share of a token's activations that is its core")
    seed: int = Field(default=0, ge=0, description="seed of the random control")
