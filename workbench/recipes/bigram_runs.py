"""The masks of `tiny-wikipedia` that are shipped; importing this loads no torch."""

from dataclasses import dataclass, field

from workbench.subnetworks import MaskConfig, TargetConfig

from .bigram_config import BodyConfig

MODEL, TEXT, LENGTH = "tiny-wikipedia", "wikipedia-sample", 64
GRID = (0.0, 1.0, 5.0, 20.0)
"""Weights of the penalty; the paper's are 0 to 1000."""


@dataclass(frozen=True)
class MaskRun:
    """One mask: its settings, its target, and the model that is masked."""

    name: str
    mask: MaskConfig
    target: TargetConfig = field(default_factory=TargetConfig)
    body: BodyConfig = field(default_factory=BodyConfig)


def mask_runs() -> tuple[MaskRun, ...]:
    """Every run: the grid, the optimal subnetwork, and the controls with a random body."""
    grid = tuple(MaskRun(f"lambda-{penalty:g}", MaskConfig(penalty=penalty)) for penalty in GRID)
    return (
        *grid,
        MaskRun("optimal", MaskConfig(penalty=GRID[1]), target=TargetConfig(target="full")),
        MaskRun("random-body", MaskConfig(), body=BodyConfig(body="random")),
        MaskRun("random-embeddings", MaskConfig(), body=BodyConfig(body="random-embeddings")),
    )
