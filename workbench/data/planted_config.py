"""Settings of planted features; importing them loads no torch."""

from pydantic import Field, model_validator

from workbench.core import Config


class PlantedConfig(Config):
    """A known dictionary and how its features fire. The defaults are bench A: independent features."""

    d: int = Field(default=64, ge=2, description="size of a row")
    features: int = Field(default=256, ge=1, description="number of true features")
    active: float = Field(default=8.0, gt=0, description="features active in a row, on average")
    exponent: float = Field(default=0.7, ge=0, description="the r-th most frequent root fires in proportion to r^-x")
    spread: float = Field(default=0.5, ge=0, description="standard deviation of the logarithm of an amplitude")
    noise: float = Field(default=0.01, ge=0, description="energy of the Gaussian noise, relative to the signal's")
    parents: int = Field(default=0, ge=0, description="features that have children; a child fires only with its parent")
    children: int = Field(default=3, ge=1, description="children of a parent; at most one of them fires in a row")
    child_share: float = Field(default=0.75, gt=0, le=1, description="share of a parent's rows that have a child")
    groups: int = Field(default=0, ge=0, description="co-occurrence groups of the roots without children; 0: none")
    group_share: float = Field(default=0.25, gt=0, lt=1, description="share of the rows in which a group is on")
    group_lift: float = Field(default=3.0, ge=1, description="how much likelier a member is while its group is on")
    seed: int = Field(default=0, ge=0, description="seed of the directions and of the order of frequencies")

    @model_validator(mode="after")
    def _fits(self) -> "PlantedConfig":
        roots = self.features - self.parents * self.children
        if roots < max(self.parents, 1):
            raise ValueError(f"{self.parents} parents with {self.children} children need more than {self.features}")
        if self.groups > roots - self.parents:
            raise ValueError(f"{self.groups} groups for {roots - self.parents} roots without children")
        if self.group_lift * self.group_share > 1:
            raise ValueError("group_lift * group_share over 1: members would be rarer than never outside the group")
        return self


BENCH_A = PlantedConfig()
"""Independent features."""
BENCH_B = PlantedConfig(parents=32, groups=16)
"""Hierarchical and correlated features: 32 parents with 3 children each, the other 128 in 16 groups."""
