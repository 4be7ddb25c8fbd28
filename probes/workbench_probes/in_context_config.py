"""Settings of the in-context measures; importing them loads no torch."""

from pydantic import Field

from workbench.core import Config


class InContextConfig(Config):
    """What predictors are compared on, and how probes are trained."""

    contexts: int = Field(default=256, ge=2, description="fresh contexts")
    queries: int = Field(default=8, ge=1, description="queries behind each context, asked one by one")
    lengths: tuple[int, ...] = Field(
        default=(1, 2, 6, 8, 12, 15),
        description="pairs in a context; with noise, least squares has no finite mean near as many pairs as entries",
    )
    probe_contexts: int = Field(default=4096, ge=8, description="contexts of the probes; a quarter is held out")
    probe_steps: int = Field(default=500, ge=1, description="optimiser steps of a probe")
    probe_batch: int = Field(default=128, ge=1, description="contexts in a step")
    probe_hidden: int = Field(default=128, ge=1, description="width of the probes that are small networks")
    bootstrap: int = Field(default=1000, ge=10, description="resamples of the contexts for an interval")
    seed: int = Field(default=0, ge=0, description="seed of contexts, probes and resampling")
