"""Settings of class-incremental learning; importing them loads no torch."""

from pydantic import Field

from workbench.core import Config


class ContinualConfig(Config):
    """The protocol: classes come in tasks, one after the other, and no task comes back."""

    tasks: int = Field(default=5, ge=1, description="tasks; the classes are dealt out to them in a random order")
    epochs: int = Field(default=30, ge=1, description="passes over the rows of each task")
    batch_rows: int = Field(default=32, ge=1, description="rows in a step")
    value_lr: float = Field(default=1.0, gt=0, description="step of the values, in logits of the sample itself")
    probe_lr: float = Field(default=0.03, gt=0, description="step of the linear probe (SGD on standardised rows)")
    neighbours: int = Field(default=5, ge=1, description="neighbours that vote")
    test_share: float = Field(default=0.3, gt=0, lt=1, description="share of the rows that is tested on")
    seeds: int = Field(default=10, ge=2, description="runs: each another split, order of classes and projection")
    confidence: float = Field(default=0.95, gt=0, lt=1, description="coverage of an interval over the runs")
    seed: int = Field(default=0, ge=0, description="seed of every random draw")
