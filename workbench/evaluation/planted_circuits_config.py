"""Settings of the bench of planted circuits; importing them loads no torch."""

from typing import Literal

from pydantic import Field

from workbench.core import Config


class PlantedCircuitsConfig(Config):
    """Which methods are held against which planted circuits."""

    models: tuple[str, ...] = Field(default=(), description="planted circuits; none: all")
    methods: tuple[str, ...] = Field(default=(), description="methods; none: all")
    distractors: Literal["others", "echo", "both"] = Field(
        default="both",
        description="others: distractors work on words of their own; echo: on the circuit's, for nobody",
    )
    prompts: int = Field(default=12, ge=2, description="prompt pairs for methods that intervene or differentiate")
    code_prompts: int = Field(default=100, ge=2, description="prompt pairs for discrete codes and mean differences")
    trials: int = Field(default=1, ge=1, description="autoencoders of the discrete codes, averaged")
    instances: int = Field(default=1, ge=1, description="models of each circuit, by seed")
    graphs: int = Field(default=4, ge=0, description="prompts whose attribution graph is traced; 0: none")
    seed: int = Field(default=0, ge=0, description="seed of the first instance, of prompts and of every method")
