"""Settings of the benchmark of codebooks; importing them loads no torch."""

from typing import Any

from pydantic import Field

from .config import BenchConfig


class CodebookBenchConfig(BenchConfig):
    """A small GPT-NeoX that trains with a codebook for every attention head."""

    rounds: int = Field(default=5, ge=1, description="rounds in which every case has one turn")
    codes: int = Field(default=2000, ge=1, description="codes of each head")
    k: int = Field(default=1, ge=1, description="codes that stand for a head's output")
    layers: int = Field(default=4, ge=1, description="layers of the model")
    heads: int = Field(default=4, ge=1, description="heads of a layer")
    d_model: int = Field(default=128, ge=8, description="width of the model")
    sequences: int = Field(default=32, ge=1, description="sequences in a step")
    sequence_length: int = Field(default=128, ge=2, description="tokens of a sequence")

    def small(self) -> dict[str, Any]:
        return {"rounds": 3, "codes": 64, "layers": 2, "d_model": 32, "sequences": 4, "sequence_length": 32}
