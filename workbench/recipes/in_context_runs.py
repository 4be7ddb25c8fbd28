"""The models of the in-context regression experiments that are trained here; importing this loads no torch."""

from pydantic import Field

from workbench.core import Config
from workbench.data import RegressionConfig

from .named_run import named_run


class InContextRun(Config):
    """One model: how deep it is, what it reads, where it starts, and how long it trains."""

    name: str
    layers: int = Field(default=4, ge=1, description="blocks")
    task: RegressionConfig = Field(default_factory=RegressionConfig, description="the contexts that it is trained on")
    start: str = Field(default="", description="the run whose weights it starts with; none: random ones")
    frozen: bool = Field(
        default=False, description="only embedding and answer are trained; with a start, its upper blocks are pasted"
    )
    steps: int = Field(default=4000, ge=1, description="optimiser steps")
    lr: float = Field(default=3e-3, gt=0, description="largest learning rate")
    batch: int = Field(default=64, ge=1, description="contexts in a step")
    width: int = Field(default=32, ge=2, description="entries of the residual stream")


DEPTH = 4
"""Blocks of the models of the noise sweep."""
_NOISES = {"1-16": 1 / 16, "1-9": 1 / 9, "1-4": 1 / 4, "4-9": 4 / 9}


def _noisy(name: str, noise: float) -> InContextRun:
    return InContextRun(
        name=f"noise-{name}", task=RegressionConfig(noise=noise), start=f"depth-{DEPTH}", steps=700, lr=1e-3
    )


RUNS = (
    InContextRun(name=f"depth-{DEPTH}", layers=DEPTH),
    InContextRun(name="control", task=RegressionConfig(weights="ones"), steps=500),
    *(_noisy(name, noise) for name, noise in _NOISES.items()),
    InContextRun(name="depth-1", layers=1),
    InContextRun(name="depth-2", layers=2),
    InContextRun(name="represented", task=RegressionConfig(representation=2), start=f"depth-{DEPTH}", steps=1500),
    InContextRun(name="pasted", layers=2, start="represented", frozen=True, steps=1000),
    InContextRun(name="pasted-random", layers=2, frozen=True, steps=1000),
    InContextRun(name="depth-6", layers=6),
)
"""In the order in which they are trained."""


def in_context_run(name: str) -> InContextRun:
    """The run of that name; see `named_run`."""
    return named_run(RUNS, name)
