"""Settings of patching between two prompts; importing them loads no torch."""

from typing import Literal

from pydantic import Field

from workbench.core import Config


class PatchPromptsConfig(Config):
    """What is exchanged between a prompt and its corrupted twin."""

    site: Literal["resid_pre", "attn_out", "mlp_out", "heads"] = Field(
        default="resid_pre",
        description="position by position the stream before a layer or what is added to it; or every head and MLP",
    )
    direction: Literal["noising", "denoising"] = Field(
        default="denoising", description="restore the clean output in the corrupted run, or spoil the clean run"
    )
    batch: int = Field(default=16, ge=1, description="patched runs that go together")
