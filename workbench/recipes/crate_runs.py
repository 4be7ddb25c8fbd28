"""The classifiers that CRATE's claims are looked at with; importing this loads no torch."""

from pydantic import Field

from workbench.core import Config
from workbench.models import CrateConfig
from workbench.training import ModuleConfig

from .named_run import named_run


class CrateRun(Config):
    """One model and how it is trained on the digits."""

    name: str
    model: CrateConfig = CrateConfig()
    training: ModuleConfig = ModuleConfig(steps=1000, lr=2e-3, warm_up=50)
    batch: int = Field(default=64, ge=1, description="pictures in a step")


PLAIN = CrateConfig(blocks="plain", layers=3)
RUNS = tuple(
    CrateRun(name=f"{name}-{seed}", model=model, training=ModuleConfig(steps=1000, lr=2e-3, warm_up=50, seed=seed))
    for seed in range(3)
    for name, model in (("crate", CrateConfig()), ("plain", PLAIN))
)
"""CRATE's six blocks and three plain ones, which have as many weights, from three seeds."""


def crate_run(name: str) -> CrateRun:
    """The run of that name; see `named_run`."""
    return named_run(RUNS, name)
