"""The Transformer Programs that are trained here; importing this loads no torch."""

from pydantic import Field

from workbench.core import Config
from workbench.models import ProgramConfig

from .named_run import named_run


class ProgramRun(Config):
    """One program: the task, its modules, and how long it trains."""

    name: str = Field(description="the task too: see `workbench.data.draw_sequences`")
    program: ProgramConfig
    longest: int = Field(default=8, ge=1, description="letters of the longest word")
    samples: int = Field(default=20_000, ge=10, description="distinct sequences; the last tenths validate and test")
    steps: int = Field(ge=1, description="optimiser steps")
    batch: int = Field(default=128, ge=1, description="sequences in a step")
    lr: float = Field(default=0.05, gt=0, description="learning rate")
    seed: int = Field(default=0, ge=0, description="seed of start, batches and samples of the choices")


RUNS = (
    ProgramRun(
        name="histogram",
        program=ProgramConfig(
            layers=1, categorical_heads=1, numerical_heads=2, categorical_mlps=1, numerical_mlps=1, classes=9
        ),
        steps=1200,
    ),
    ProgramRun(
        name="reverse",
        program=ProgramConfig(
            length=7, layers=2, categorical_heads=4, numerical_heads=0, categorical_mlps=2, numerical_mlps=0
        ),
        longest=5,
        steps=1500,
        batch=32,
    ),
)


def program_run(name: str) -> ProgramRun:
    """The run of that name; see `named_run`."""
    return named_run(RUNS, name)
