"""Settings of circuit identification by discrete codes; importing them loads no torch."""

from typing import Literal

from pydantic import Field, model_validator

from workbench.core import Config


class DiscreteConfig(Config):
    """One sparse autoencoder for all heads and MLPs; a component's code is its strongest feature."""

    codes: int = Field(default=200, ge=2, description="features of the autoencoder (paper: 200)")
    examples: int = Field(default=10, ge=1, description="prompts that train it, corrupted twins among them (paper: 10)")
    steps: int = Field(default=500, ge=1, description="full-batch steps of training (paper: 500)")
    lr: float = Field(default=1e-3, gt=0, description="learning rate (paper: 0.001)")
    l1: float = Field(default=0.02, ge=0, description="sparsity penalty")
    position: Literal["mean", "last"] = Field(
        default="mean", description="a component's output, averaged over a prompt's tokens or taken at its last one"
    )
    relative: bool = Field(
        default=True,
        description="divide a count of codes by the size of both sets' union, as MLPs have many (paper: optional)",
    )
    mlps: bool = Field(default=True, description="score MLPs, too (the paper: heads alone)")
    batch: int = Field(default=16, ge=1, description="prompt pairs that run together")
    trials: int = Field(default=1, ge=1, description="autoencoders with seeds and training prompts of their own")
    seed: int = Field(default=0, ge=0, description="seed of the training prompts and of the autoencoder")


class DiscreteSweepConfig(DiscreteConfig):
    """The sweeps of the paper's section 3.4."""

    code_counts: tuple[int, ...] = Field(default=(5, 10, 25, 50, 100, 250), description="numbers of codes tried")
    example_counts: tuple[int, ...] = Field(
        default=(5, 10, 25, 50, 100, 250), description="numbers of training examples tried"
    )

    @model_validator(mode="after")
    def _positive(self) -> "DiscreteSweepConfig":
        if any(count < 2 for count in self.code_counts) or any(count < 1 for count in self.example_counts):
            raise ValueError("a sweep tries at least 2 codes and 1 example")
        return self
