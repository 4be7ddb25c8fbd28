"""MaskPolicy: which positions count in training, metrics and feature nodes."""

from pydantic import Field

from .config import Config


class MaskPolicy(Config):
    """Which token positions count.

    SmolLM2's residual stream has norm 20,000 at position 0 against a median of 161 elsewhere: one token
    would hold 99 % of the energy, so position 0 is left out by default.
    """

    prepend_bos: bool = Field(default=True, description="put the tokenizer's BOS (or its end-of-text) token in front")
    exclude_special: bool = Field(default=False, description="leave out every special token, wherever it stands")
    skip_first: int = Field(default=1, ge=0, description="positions at the start of a sequence that never count")

    def describe(self) -> str:
        """One phrase for tables and reports."""
        parts = ["BOS in front" if self.prepend_bos else "no BOS"]
        parts.append(f"first {self.skip_first} position(s) left out" if self.skip_first else "every position")
        if self.exclude_special:
            parts.append("special tokens left out")
        return ", ".join(parts)
