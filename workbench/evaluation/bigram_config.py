"""Settings of judging a subnetwork; importing them loads no torch."""

from pydantic import Field

from .config import EvaluateConfig


class BigramEvalConfig(EvaluateConfig):
    """What a subnetwork is measured on."""

    sequences: int | None = Field(default=200, ge=1, description="held-out sequences, spread over the text; none: all")
    bands: int = Field(
        default=3, ge=1, description="bands of tokens by how frequent they are, with equally many positions"
    )
    random_masks: int = Field(default=3, ge=1, description="random masks of equal count in every block")
    removed_shares: tuple[float, ...] = Field(
        default=(0.03, 0.1, 0.3), description="shares of the subnetwork that are removed, beside all of it"
    )
    examples: int = Field(default=8, ge=0, description="tokens shown that the bigram explains, and that it does not")
    rotation_sequences: int = Field(default=60, ge=2, description="sequences for rotation and covariances")
    rotation_every: int = Field(
        default=1, ge=1, description="after the third layer, rotation of every so many layers (and of the last)"
    )
    ridge: float = Field(default=1.0, gt=0, description="penalty of the linear maps whose rotation is measured")
    feature_layers: int | None = Field(
        default=4, ge=1, description="first layers whose features are asked for a share of the effect; none: all"
    )
