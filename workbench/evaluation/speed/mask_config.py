"""Settings of the benchmark of mask training; importing them loads no torch."""

from typing import Any, Literal

from pydantic import Field

from .config import BenchConfig


class MaskBenchConfig(BenchConfig):
    """Which model's weights are masked, and on how many tokens a step is made."""

    rounds: int = Field(default=3, ge=1, description="rounds in which every case has one turn")
    model: str = Field(default="smollm2-135m-instruct-q4", description="a known model, hub id, folder or .gguf file")
    dtype: Literal["float32", "bfloat16"] = Field(default="bfloat16", description="of the model; masks are float32")
    sequences: int = Field(default=8, ge=1, description="sequences in a step")
    sequence_length: int = Field(default=128, ge=2, description="tokens of a sequence")
    offline: bool = Field(default=False, description="never touch the network")

    def small(self) -> dict[str, Any]:
        return {"rounds": 2, "model": "planted-bigram", "dtype": "float32", "sequences": 4, "sequence_length": 16}
