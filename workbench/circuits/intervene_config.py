"""What is done to which nodes of a graph, and how it is measured; importing it loads no torch."""

from typing import Literal

from pydantic import Field, model_validator

from workbench.core import Config


class Intervention(Config):
    """One test: the features of a supernode (or one feature) set to another value."""

    name: str = Field(description="what the test is called")
    nodes: tuple[str, ...] = Field(min_length=1, description="ids of feature nodes")
    operation: Literal["ablate", "clamp", "swap"] = Field(
        default="ablate", description="ablate: to 0; clamp: to `value`; swap: to their value in another prompt"
    )
    value: float = Field(default=0.0, description="clamp: the activation that every node is set to")

    @model_validator(mode="after")
    def _each_once(self) -> "Intervention":
        if len(set(self.nodes)) < len(self.nodes):
            raise ValueError("a node is named twice")
        return self


class InterveneConfig(Config):
    """What stays as it was, and the controls."""

    frozen: bool = Field(default=True, description="measure with attention patterns and norm scales held")
    free: bool = Field(default=True, description="measure with everything running anew")
    seeds: int = Field(default=5, ge=0, description="random groups of as many active features for each test")
    top: int = Field(default=8, ge=1, description="next tokens told before and after")
    tolerance: float = Field(default=0.5, gt=0, description="a test passes within this share of its prediction")
    batch: int = Field(default=8, ge=1, description="copies of the prompt that run together; a cancel waits for them")
    seed: int = Field(default=0, ge=0, description="seed of the random groups")

    @model_validator(mode="after")
    def _something_runs(self) -> "InterveneConfig":
        if not (self.frozen or self.free):
            raise ValueError("nothing would be measured: choose frozen, free or both")
        return self
