"""Settings of the ranking of scores; importing them loads no torch."""

from pydantic import Field

from workbench.core import Config


class ScoreRankingConfig(Config):
    """On which prompts which scores are compared."""

    tasks: tuple[str, ...] = Field(
        default=("indirect-object", "agreement", "capitals", "docstring"), min_length=1, description="tasks"
    )
    prompts: int = Field(default=3, ge=1, description="prompts of each task")
    max_feature_nodes: int = Field(default=512, ge=1, description="features expanded in each graph, by influence")
    resamples: int = Field(default=2000, ge=1, description="bootstrap resamples of the prompts")
    seed: int = Field(default=1, ge=0, description="seed of prompts, shuffled decoder and bootstrap")
