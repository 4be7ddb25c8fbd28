"""Settings of the benchmark of sparse inference; importing them loads no torch."""

from typing import Any, Literal

from pydantic import Field

from .config import BenchConfig


class SparsityBenchConfig(BenchConfig):
    """Generation on some of the neurons: how fast, and at what perplexity."""

    rounds: int = Field(default=3, ge=1, description="rounds in which every way generates once")
    model: str = Field(default="smollm2-135m-instruct-q4", description="a known model, hub id, folder or .gguf file")
    dtype: Literal["float32", "bfloat16"] = Field(default="float32", description="of both models")
    text: str = Field(default="wikipedia-sample", description="prompts come from it, and the perplexity")
    prompt_tokens: int = Field(default=128, ge=4, description="tokens of the prompt")
    new_tokens: int = Field(default=48, ge=2, description="tokens generated each time")
    cores: tuple[float, ...] = Field(default=(0.25, 0.5, 0.75, 0.9), description="shares of a fixed core")
    tokens: tuple[float, ...] = Field(default=(0.25, 0.5, 0.6, 0.75), description="shares chosen for each token")
    alpha: float = Field(default=0.4, gt=0, le=1, description="share of a token's activations that is its core")
    most: float = Field(default=1.03, gt=1, description="perplexity over the dense one's that still counts as good")
    sequences: int = Field(default=8, ge=0, description="texts for the perplexity; 0: no perplexity")
    offline: bool = Field(default=False, description="never touch the network")

    def small(self) -> dict[str, Any]:
        return {
            "rounds": 2, "model": "tiny-sentences", "text": "synthetic-sentences:40", "prompt_tokens": 4,
            "new_tokens": 4, "cores": (0.5,), "tokens": (0.5,), "sequences": 2,
        }  # fmt: skip
