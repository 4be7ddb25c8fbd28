"""Settings of a reproduction; importing them loads no torch."""

from pathlib import Path

from pydantic import Field

from workbench.core import Config


class ReproduceConfig(Config):
    """From shipped artifacts, or trained again."""

    from_scratch: bool = Field(default=False, description="train the models again instead of opening shipped ones")
    runs: str = Field(default="", description="which models, separated by commas; none: those that are shipped")
    save: Path | None = Field(default=None, description="also write the trained models here, as small artifacts")

    @property
    def chosen(self) -> tuple[str, ...]:
        """The names in `runs`."""
        return tuple(name.strip() for name in self.runs.split(",") if name.strip())
