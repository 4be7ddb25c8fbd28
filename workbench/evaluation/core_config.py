"""Settings of measurements of core neurons; importing them loads no torch."""

from typing import Self

from pydantic import Field, model_validator

from workbench.core import Config


class CoreLossConfig(Config):
    """How much text is read densely, and how much follows on some of the neurons."""

    prefix: int = Field(default=256, ge=4, description="tokens read densely (the core comes from them)")
    follow: int = Field(default=64, ge=2, description="tokens that follow on the chosen neurons")
    sequences: int = Field(default=32, ge=2, description="texts, spread over the documents")
    alpha: float = Field(default=0.4, gt=0, le=1, description="share of a token's activations that is its core")
    shares: tuple[float, ...] = Field(
        default=(0.1, 0.2, 0.3, 0.4, 0.5, 0.6), min_length=1, description="shares of the neurons that are kept (beta)"
    )
    seed: int = Field(default=0, ge=0, description="seed of random cores and of the resampling")

    @model_validator(mode="after")
    def _shares_are_shares(self) -> Self:
        if any(not 0 < share <= 1 for share in self.shares):
            raise ValueError(f"shares are above 0 and at most 1; found {self.shares}")
        return self


class CoreStabilityConfig(Config):
    """At which lengths of a text its core is taken."""

    prefixes: tuple[int, ...] = Field(default=(16, 32, 64, 128, 256), min_length=1, description="tokens before")
    added: tuple[int, ...] = Field(default=(8, 64), min_length=1, description="tokens that are added")
    sequences: int = Field(default=32, ge=2, description="texts, spread over the documents")
    alpha: float = Field(default=0.4, gt=0, le=1, description="share of a token's activations that is its core")
    beta: float = Field(default=0.25, gt=0, le=1, description="share of a layer's neurons that is a core")
    seed: int = Field(default=0, ge=0, description="seed of the resampling")

    @property
    def longest(self) -> int:
        """Tokens that a text must have."""
        return max(self.prefixes) + max(self.added)


class CoreSimilarityConfig(Config):
    """How cores are compared with what sentences mean."""

    alpha: float = Field(default=0.4, gt=0, le=1, description="share of a token's activations that is its core")
    beta: float = Field(default=0.25, gt=0, le=1, description="share of a layer's neurons that is a core")
    layer: int | None = Field(
        default=None, ge=0, description="sentences are embedded by the mean of the stream after it; none: the middle"
    )
    seed: int = Field(default=0, ge=0, description="seed of the resampling")


class CoreClustersConfig(CoreLossConfig):
    """Similarity-guided prediction: cores of clusters of training texts."""

    prefix: int = Field(default=16, ge=4, description="tokens read densely: the short input that finds its cluster")
    clusters: int = Field(default=16, ge=1, description="clusters of the training texts")
    training: int = Field(default=256, ge=1, description="training texts that are clustered")
    shares: tuple[float, ...] = Field(
        default=(0.2, 0.4, 0.6), min_length=1, description="shares of the neurons that are kept (gamma)"
    )
