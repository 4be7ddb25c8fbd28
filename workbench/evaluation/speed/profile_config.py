"""Settings of the benchmark of sparsity profiles; importing them loads no torch."""

from typing import Any

from pydantic import Field

from .config import BenchConfig


class ProfileBenchConfig(BenchConfig):
    """Which text is profiled, in passes of how many tokens."""

    model: str = Field(default="smollm2-135m-instruct-q4", description="a known model, hub id, folder or .gguf file")
    text: str = Field(default="wikipedia-sample", description="text that is read")
    tokens: int = Field(default=2048, ge=2, description="tokens in one turn of each case")
    batch_sequences: int = Field(default=8, ge=1, description="sequences in one forward pass")
    offline: bool = Field(default=False, description="never touch the network")

    def small(self) -> dict[str, Any]:
        return {"rounds": 2, "model": "tiny-sentences", "text": "synthetic-sentences:40", "tokens": 64}
