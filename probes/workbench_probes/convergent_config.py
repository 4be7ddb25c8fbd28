"""Settings of comparing two sets of units; importing them loads no torch."""

from pydantic import Field

from workbench.core import Config


class ConvergentConfig(Config):
    """Which unit of one set is which of another (Li et al. 2015)."""

    absolute: bool = Field(default=False, description="a unit and its mirror image count as one")
    rows: int = Field(default=2000, ge=50, description="rows on which both sets are compared")
    most_units: int = Field(default=1024, ge=2, description="units of each set, the most active ones")
    predicted: int = Field(default=20, ge=0, description="units of the second set that are predicted from the first")
    penalties: tuple[float, ...] = Field(
        default=(0.3, 0.1, 0.03, 0.01), description="Lasso penalties of these predictions, in standard deviations"
    )
    clusters: int = Field(default=8, ge=0, description="clusters of all units together; 0: none")
    seed: int = Field(default=0, ge=0, description="seed of draws and of clustering")
