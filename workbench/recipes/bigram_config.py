"""Settings of `workbench bigram`; importing them loads no torch."""

from typing import Literal

from pydantic import Field

from workbench.core import Config


class BodyConfig(Config):
    """Which model is masked."""

    body: Literal["own", "random", "random-embeddings"] = Field(
        default="own",
        description="own: the model; random: attention and MLPs drawn anew, its embeddings kept; random-embeddings: "
        "those drawn anew, too (controls: a mask alone can already make bigrams of them)",
    )
    body_seed: int = Field(default=0, ge=0, description="seed of what is drawn anew")
