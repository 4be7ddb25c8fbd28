"""Settings of a feature scan."""

from pydantic import Field

from workbench.core import Config


class ScanConfig(Config):
    """How much text is scanned and how many examples are kept."""

    sequences: int = Field(default=192, ge=1, description="sequences of the text to scan")
    examples: int = Field(default=8, ge=1, description="top examples kept per feature, each from another sequence")
    batch_sequences: int = Field(default=16, ge=1, description="sequences per forward pass")
