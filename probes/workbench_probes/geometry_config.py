"""Settings of measuring representations; importing them loads no torch."""

from pydantic import Field

from workbench.core import Config


class GeometryConfig(Config):
    """How clouds of activations are measured."""

    rows: int = Field(default=4000, ge=16, description="rows measured, spread over the text")
    neighbours: int = Field(default=20, ge=3, description="neighbours of the maximum-likelihood dimension")
    keep: float = Field(default=0.9, gt=0, le=1, description="share of the ratios that TwoNN looks at, the lowest")
    pair_rows: int = Field(default=800, ge=16, description="rows for comparing representations in pairs")
    components: int = Field(default=20, ge=1, description="principal components whose canonical correlations count")
    all_pairs: bool = Field(default=False, description="compare every pair of sites, not only neighbours")
    seed: int = Field(default=0, ge=0, description="seed of drawing rows")
