"""Settings of a feature scan, of feature cards and of searches; importing them loads no torch."""

from typing import Literal

from pydantic import Field

from workbench.core import Config


class ScanConfig(Config):
    """How much text is scanned and how many examples are kept."""

    sequences: int = Field(default=192, ge=1, description="sequences of the text to scan")
    examples: int = Field(default=8, ge=1, description="top examples kept per feature, each from another sequence")
    samples: int = Field(default=40, ge=0, description="random activations kept per feature, for bands and controls")
    near_misses: int = Field(default=4, ge=0, description="largest pre-activations kept where a feature stayed silent")
    batch_sequences: int = Field(default=16, ge=1, description="sequences per forward pass")
    seed: int = Field(default=0, ge=0, description="seed of the random activations")


class CardConfig(Config):
    """What is shown of one unit."""

    examples: int = Field(default=8, ge=1, description="examples of each kind")
    bands: int = Field(default=5, ge=1, description="bands of equal count into which random activations are sorted")
    context: int = Field(default=12, ge=1, description="tokens shown before and after the peak")
    tokens: int = Field(default=10, ge=1, description="tokens promoted and suppressed")
    similar: int = Field(default=12, ge=0, description="similar units")
    connections: int = Field(default=20, ge=0, description="strongest connections on each side")
    measured: int = Field(
        default=8, ge=0, description="random examples on which the unit is taken out of the model; 0: none"
    )
    window: int = Field(default=32, ge=1, description="tokens before a measured example that the model reads")
    seed: int = Field(default=0, ge=0, description="seed of the random examples")


class SearchConfig(Config):
    """How units are searched for in a scan."""

    tokens: Literal["last", "first", "all"] = Field(
        default="last", description="which tokens of a captured group are targets"
    )
    least_count: int = Field(default=5, ge=1, description="leave out units that are active on fewer tokens")
    rows: int = Field(default=50, ge=1, description="units in a table, best first")
    permutations: int = Field(default=2000, ge=99, description="relabellings behind a permutation p-value")
    seed: int = Field(default=0, ge=0, description="seed of the relabellings")
