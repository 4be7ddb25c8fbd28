"""Size of a Transformer Program; importing it loads no torch."""

from pydantic import Field, model_validator

from workbench.core import Config


class ProgramConfig(Config):
    """Modules of a Transformer Program (Friedman, Wettig and Chen 2023, section 3)."""

    vocabulary: int = Field(default=11, ge=2, description="tokens")
    length: int = Field(default=10, ge=1, description="positions")
    classes: int = Field(default=11, ge=2, description="what is told apart at each position")
    layers: int = Field(default=2, ge=1, description="layers")
    categorical_heads: int = Field(default=2, ge=0, description="heads in a layer that copy from the closest match")
    numerical_heads: int = Field(default=2, ge=0, description="heads in a layer that count matches")
    categorical_mlps: int = Field(default=1, ge=0, description="tables in a layer over two categorical variables")
    numerical_mlps: int = Field(default=1, ge=0, description="tables in a layer over two counts")
    hidden: int = Field(default=64, ge=1, description="width of a table's network while it is trained")
    hot: float = Field(default=3.0, gt=0, description="temperature of the choices at first")
    cold: float = Field(default=0.01, gt=0, description="temperature at the end; it falls geometrically")

    @model_validator(mode="after")
    def _counts_exist(self) -> "ProgramConfig":
        if self.numerical_mlps and not self.numerical_heads:
            raise ValueError("tables over counts need heads that count")
        return self

    @property
    def values(self) -> int:
        """Values that a categorical variable may take."""
        return max(self.vocabulary, self.length)
