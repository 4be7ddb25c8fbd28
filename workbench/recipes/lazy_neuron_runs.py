"""The models of the lazy-neuron experiments (Li et al. 2022) that are trained here; importing this loads no torch."""

from typing import Literal

from pydantic import Field

from workbench.core import Config

from .named_run import named_run

Targets = Literal["text", "random labels", "random inputs"]


class LazyRun(Config):
    """One model: what it reads and predicts, and how many neurons of a layer may speak."""

    name: str
    targets: Targets = Field(default="text", description="what is predicted from what; see `ControlRows`")
    top_k: int | None = Field(default=None, ge=1, description="neurons kept in a token, in training too; none: all")
    label_noise: float = Field(default=0.0, ge=0, le=1, description="share of the next tokens that are random ones")
    sequences: int | None = Field(default=None, ge=1, description="sequences of the text; none: all of them")
    steps: int = Field(default=600, ge=1, description="optimiser steps")
    batch: int = Field(default=16, ge=1, description="sequences in a step")
    lr: float = Field(default=3e-3, gt=0, description="largest learning rate")


_FEW = 256
RUNS = (
    LazyRun(name="dense"),
    LazyRun(name="top-32", top_k=32),
    LazyRun(name="random-labels", targets="random labels", sequences=_FEW),
    LazyRun(name="random-inputs", targets="random inputs", sequences=_FEW),
    LazyRun(name="few-texts", sequences=_FEW),
    LazyRun(name="top-8", top_k=8),
    LazyRun(name="top-16", top_k=16),
    LazyRun(name="top-64", top_k=64),
    LazyRun(name="top-128", top_k=128),
    LazyRun(name="dense-noise-40", label_noise=0.4),
    LazyRun(name="top-32-noise-40", top_k=32, label_noise=0.4),
)
"""In the order in which they are trained."""


def lazy_run(name: str) -> LazyRun:
    """The run of that name; see `named_run`."""
    return named_run(RUNS, name)
