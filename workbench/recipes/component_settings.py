"""Settings of a circuit discovery; importing them loads no torch."""

from typing import Literal

from pydantic import Field

from workbench.core import Config

SCORERS = (
    "attribution",
    "attribution-ig-inputs",
    "attribution-ig-activations",
    "path",
    "eap",
    "eap-ig-inputs",
    "eap-ig-activations",
    "acdc",
    "discrete",
    "mean-difference",
    "random",
)
DEFAULT_SCORERS = ("attribution", "attribution-ig-inputs", "eap", "eap-ig-inputs", "mean-difference", "random")


class DiscoverConfig(Config):
    """What is scored, and how the scores are tested."""

    ablation: Literal["resample", "mean", "zero"] = Field(
        default="resample", description="an ablated output is that of the corrupted prompt, the mean one, or zero"
    )
    batch: int = Field(default=8, ge=1, description="prompt pairs that run together")
    steps: int = Field(default=5, ge=1, description="steps of the integrated gradients")
    threshold: float = Field(default=0.01, ge=0, description="acdc: share of the metric's range that an edge must move")
    exact: bool = Field(default=True, description="ablate every node exactly and compare the scores with that")
    random_circuits: int = Field(default=10, ge=0, description="random circuits of every size; 0: no curves at all")
    curve_prompts: int = Field(default=24, ge=1, description="prompts of the faithfulness curves, the first ones")
    check_fraction: float = Field(
        default=0.0, ge=0, le=1, description="test completeness and minimality of circuits of this share; 0: do not"
    )
    seed: int = Field(default=0, ge=0, description="seed of the prompts and the random draws")
