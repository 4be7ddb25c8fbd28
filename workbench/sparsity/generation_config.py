"""Settings of sparse generation; importing them loads no torch."""

from typing import Literal

from pydantic import Field

from workbench.core import Config


class SparseGenerationConfig(Config):
    """Which neurons of every MLP run while text is generated."""

    choose: Literal["core", "token", "dense"] = Field(
        default="core", description="the prompt's core neurons, each token's own by its gate, or all of them"
    )
    share: float = Field(default=0.25, gt=0, le=1, description="share of the neurons that run")
    alpha: float = Field(default=0.4, gt=0, le=1, description="share of a token's activations that is its core")
    new_tokens: int = Field(default=64, ge=1, description="tokens to generate at most")
    temperature: float = Field(default=0.0, ge=0, description="0 takes the likeliest token")
    top_k: int | None = Field(default=None, ge=1, description="sample among so many likeliest tokens")
    stop_at_eos: bool = Field(default=True, description="end at the end-of-text token")
    seed: int = Field(default=0, ge=0, description="seed of the sampling")
