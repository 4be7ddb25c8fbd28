"""CaptureConfig: how activations are written."""

from typing import Any, Literal

from pydantic import Field, field_validator

from workbench.core import Config

_ALIASES = {"bf16": "bfloat16", "fp32": "float32", "float": "float32"}


class CaptureConfig(Config):
    """Settings of `capture`; they fix the batches and shards, and with them every bit of the store."""

    dtype: Literal["bfloat16", "float32"] = Field(default="bfloat16", description="number format on disk")
    batch_sequences: int = Field(default=32, ge=1, description="sequences in one forward pass")
    shard_sequences: int | None = Field(
        default=None, ge=1, description="sequences in one file; by default as many as `shard_megabytes` hold"
    )
    shard_megabytes: int = Field(default=128, ge=1, description="upper size of one file, and of the buffers in memory")

    @field_validator("dtype", mode="before")
    @classmethod
    def _known_dtype(cls, value: Any) -> Any:
        value = str(value).removeprefix("torch.")
        if value in ("float16", "fp16", "half"):
            raise ValueError("float16 overflows at 65,504, which residual streams exceed; use bfloat16 or float32")
        return _ALIASES.get(value, value)
