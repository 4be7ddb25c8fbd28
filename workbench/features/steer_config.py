"""Edit lists of the steering playground and how they are tried; importing them loads no torch."""

import json
from collections.abc import Sequence
from typing import Literal

from pydantic import Field, model_validator

from workbench.core import Config, ConfigError

OPERATIONS = ("add", "clamp", "scale", "ablate")


class SteeringEdit(Config):
    """One edit of a unit or of a direction, at some positions, as strong as natural activations make it.

    A unit's sigma is the root mean square of its activation where it is active; a direction's the standard deviation
    of the projection onto it.
    """

    unit: str = Field(default="", description="address of a feature, code or neuron; empty for a direction")
    site: str = Field(default="", description="where a direction is written")
    direction: tuple[float, ...] = Field(default=(), description="the vector of a direction")
    name: str = Field(default="", description="what people call it")
    operation: Literal["add", "clamp", "scale", "ablate"] = Field(default="add", description="what is done to it")
    strength: float = Field(
        default=4.0, description="sigmas that are added or clamped to; for `scale` the factor; `ablate` ignores it"
    )
    positions: str = Field(
        default="all",
        description="all (but the first), prompt, generated, last (of the prompt), 3, 3- (from there on), after:TEXT",
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> "SteeringEdit":
        if bool(self.unit) == bool(self.direction):
            raise ValueError("an edit names a unit or gives a direction")
        if self.direction and not self.site:
            raise ValueError("a direction needs the site where it is written")
        return self

    @property
    def title(self) -> str:
        """One line for people."""
        what = self.name or self.unit or f"direction at {self.site}"
        how = {"ablate": "ablated", "scale": f"times {self.strength:g}", "add": f"{self.strength:+g} sigma"}
        return f"{what}: {how.get(self.operation, f'clamped to {self.strength:g} sigma')}, {self.positions}"


class SteerConfig(Config):
    """How a list of edits is tried."""

    new_tokens: int = Field(default=30, ge=0, description="tokens generated")
    temperature: float = Field(default=0.7, ge=0, description="sampling temperature; 0 takes the likeliest token")
    samples: int = Field(default=1, ge=1, description="continuations of each kind")
    random_directions: int = Field(default=3, ge=0, description="controls with random directions of equal norm")
    wrong_sign: bool = Field(default=True, description="control with the opposite sign")
    strengths: tuple[float, ...] = Field(
        default=(-16.0, -8.0, -4.0, -2.0, 0.0, 2.0, 4.0, 8.0, 16.0), description="multiples of the edits' strengths"
    )
    top: int = Field(default=15, ge=1, description="next tokens in the table")
    seed: int = Field(default=0, ge=0, description="seed of sampling and of random directions")


def edits_to_json(edits: Sequence[SteeringEdit]) -> str:
    """A list of edits as a file."""
    return json.dumps({"schema": "workbench.steering/1", "edits": [edit.model_dump() for edit in edits]}, indent=1)


def edits_from_json(text: str) -> list[SteeringEdit]:
    """Read what `edits_to_json` wrote.

    Raises:
        ConfigError: it is something else.
    """
    try:
        data = json.loads(text)
        listed = data["edits"]
        assert isinstance(listed, list)
    except (ValueError, KeyError, TypeError, AssertionError):
        raise ConfigError("this is no list of steering edits", hint='it is JSON with the key "edits"') from None
    return [SteeringEdit.parse(item, source=f"edit {number}") for number, item in enumerate(listed)]


def edits_to_python(edits: Sequence[SteeringEdit], prompt: str, dictionaries: str, model: str, seed: int) -> str:
    """The lines that make the same Result in a notebook."""
    made = []
    for edit in edits:
        shown = edit.model_dump(exclude_defaults=True)
        made.append("    SteeringEdit(" + ", ".join(f"{key}={value!r}" for key, value in shown.items()) + "),")
    return "\n".join(
        [
            "from workbench.features import SteerConfig, SteeringEdit, steer",
            "from workbench.recipes import open_bench",
            "from workbench.workspace import Workspace",
            "",
            f"bench, scan = open_bench(Workspace(), {dictionaries!r}, model={model!r})",
            "edits = [",
            *made,
            "]",
            f"steer(bench, {prompt!r}, edits, SteerConfig(seed={seed}), scan)",
        ]
    )
