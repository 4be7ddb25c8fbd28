"""reproduce: what a paper reports, beside the same measured here; each paper registers its own."""

from collections.abc import Callable
from pathlib import Path

from workbench.core import Progress, Result, Silent, get
from workbench.workspace import Workspace

from .reproduce_config import ReproduceConfig

Reproduction = Callable[[Path, ReproduceConfig, Progress], Result]
"""(folder for long trainings, settings, progress) -> ours beside the paper's; registered as a `reproduction`."""


def reproduce(
    place: Workspace, name: str, config: ReproduceConfig | None = None, progress: Progress | None = None
) -> Result:
    """Measure again what the paper of that name reports; trainings go on where an earlier call stopped.

    Raises:
        ConfigError: no such reproduction, or no such run of it.
    """
    made: Reproduction = get("reproduction", name)
    with place.lock(f"reproduce-{name}"):
        return made(place.path / "reproductions" / name, config or ReproduceConfig(), progress or Silent())
