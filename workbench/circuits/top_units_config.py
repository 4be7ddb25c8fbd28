"""Settings of the curve of a task's score against the number of units kept; importing them loads no torch."""

from typing import Literal

from pydantic import Field

from workbench.core import Config


class TopUnitsConfig(Config):
    """Which units are kept, and what stands in the others' place."""

    layer: int | None = Field(
        default=None, ge=0, description="layer of the MLP; none: the one whose loss costs the task most"
    )
    sizes: tuple[int, ...] = Field(
        default=(0, 1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 256, 512, 1024), description="numbers of units kept"
    )
    rest: Literal["mean", "zero"] = Field(
        default="mean", description="what the other units do: stand at their mean over the prompts, or at zero"
    )
    draws: int = Field(default=5, ge=0, description="random sets of units per size, drawn by seed")
    batch: int = Field(default=25, ge=1, description="prompts that run together")
    seed: int = Field(default=0, ge=0, description="seed of the random sets")
