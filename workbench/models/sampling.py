"""Sampling: how the next token is chosen."""

from pydantic import Field

from workbench.core import Config


class Sampling(Config):
    """Greedy at temperature 0; otherwise softmax sampling among the likeliest tokens."""

    temperature: float = Field(default=0.0, ge=0.0, description="0 takes the likeliest token")
    top_k: int | None = Field(default=None, ge=1, description="keep this many likeliest tokens")
    top_p: float | None = Field(
        default=None, gt=0.0, le=1.0, description="keep the likeliest tokens up to this probability"
    )
    stop_at_eos: bool = Field(default=True, description="a prompt is finished at its end-of-text token")
