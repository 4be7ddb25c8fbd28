"""Settings of grouping, comparing and merging graphs; importing them loads no torch."""

from typing import Literal

from pydantic import Field, model_validator

from workbench.core import Config


class GroupConfig(Config):
    """How alike two nodes must be to be suggested as one supernode; each part counts by its weight where known."""

    decoder: float = Field(default=1.0, ge=0, description="weight of the cosine of what two nodes write")
    contexts: float = Field(default=1.0, ge=0, description="weight of the tokens on which both fire most")
    role: float = Field(default=1.0, ge=0, description="weight of shared inputs and outputs in the graph")
    similarity: float = Field(default=0.4, gt=0, le=1, description="least mean likeness within a group")
    layers_apart: int = Field(default=8, ge=0, description="farthest layers that one group joins")

    @model_validator(mode="after")
    def _something_counts(self) -> "GroupConfig":
        if not self.decoder + self.contexts + self.role:
            raise ValueError("decoder, contexts and role cannot all weigh nothing")
        return self


class CompareConfig(Config):
    """How the nodes of two graphs are matched."""

    match: Literal["auto", "position", "unit"] = Field(
        default="auto", description="position: same place and unit; unit: sums over places; auto: by prompt length"
    )
    shuffles: int = Field(default=20, ge=0, description="draws of the control: features renamed within their layer")
    seed: int = Field(default=0, ge=0, description="seed of the control and the bootstrap")
    rows: int = Field(default=200, ge=1, description="rows of a table at most, largest difference or influence first")


class MergeConfig(CompareConfig):
    """How graphs over several prompts of one task become one."""

    resamples: int = Field(default=1000, ge=10, description="bootstrap draws of prompts")
    confidence: float = Field(default=0.95, gt=0, lt=1, description="of the intervals")
    share: float = Field(default=0.5, gt=0, le=1, description="share of prompts that an edge of the merged graph is in")
