"""The masks of `tiny-wikipedia` that are shipped; importing this loads no torch."""

from dataclasses import dataclass, field

from workbench.subnetworks import MaskConfig, TargetConfig

from .bigram_config import BodyConfig

MODEL, TEXT, LENGTH = "tiny-wikipedia", "wikipedia-sample", 64
GRID = (0.0, 0.3, 3.0, 30.0)
"""Weights of the penalty; the paper's are 0 to 1000, for a hundred and more times as many weights."""
STEPS = MaskConfig(steps=200, batch_sequences=16, lr=1e-2, temperature=200.0, chunk_steps=10)
"""How every mask is trained."""
LONGER = STEPS.model_copy(update={"steps": 400, "batch_sequences": 32})
"""Four times as many tokens, for one more mask without a penalty."""


@dataclass(frozen=True)
class MaskRun:
    """One mask: its settings, its target, and the model that is masked."""

    name: str
    mask: MaskConfig
    target: TargetConfig = field(default_factory=TargetConfig)
    body: BodyConfig = field(default_factory=BodyConfig)


def mask_runs() -> tuple[MaskRun, ...]:
    """Every run: the grid, the longer run, the optimal subnetwork, and the controls with a random body."""
    grid = tuple(MaskRun(f"lambda-{penalty:g}", _with(penalty)) for penalty in GRID)
    return (
        *grid,
        MaskRun("lambda-0-longer", LONGER),
        MaskRun("optimal", _with(GRID[1]), target=TargetConfig(target="full")),
        MaskRun("random-body", _with(0), body=BodyConfig(body="random")),
        MaskRun("random-embeddings", _with(0), body=BodyConfig(body="random-embeddings")),
    )


def _with(penalty: float) -> MaskConfig:
    return STEPS.model_copy(update={"penalty": penalty})
