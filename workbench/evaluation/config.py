"""Settings of an evaluation; importing them loads no torch."""

from pydantic import Field

from workbench.core import Config


class EvaluateConfig(Config):
    """What is measured on held-out text, and how finely."""

    batch_sequences: int = Field(default=8, ge=1, description="sequences in one forward pass")
    outlier_factor: float = Field(
        default=6.0, gt=1, description="rows whose target's norm exceeds this many medians are counted apart"
    )
    splice: bool = Field(default=True, description="also measure cross-entropy and KL with everything spliced in")
    splice_sequences: int | None = Field(
        default=None, ge=1, description="sequences used for splicing, spread over the text; none: all"
    )
    single_layers_every: int = Field(
        default=0, ge=0, description="also splice every n-th dictionary alone; 0: none alone"
    )
    mean_ablation: bool = Field(default=True, description="also replace every written site by its mean")
    zero_ablation: bool = Field(default=True, description="also replace every written site by zeros")
    dense_above: float = Field(
        default=0.1, gt=0, lt=1, description="a feature active in more than this share of the rows is called dense"
    )
    bootstrap: int = Field(default=1000, ge=10, description="resamples of the documents for an interval")
    confidence: float = Field(default=0.95, gt=0, lt=1, description="coverage of an interval")
    seed: int = Field(default=0, ge=0, description="seed of the resampling")
