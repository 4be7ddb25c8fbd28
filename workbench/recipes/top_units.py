"""Score against k on a task, for a set of the workspace."""

from workbench.circuits import TopUnitsConfig, top_units
from workbench.core import Progress, Result
from workbench.data import make_task
from workbench.workspace import Workspace

from .circuits import model_of
from .dictionaries import find_dictionaries


def top_units_by_name(
    place: Workspace,
    dictionaries: str,
    task: str = "greater-than",
    count: int = 100,
    config: TopUnitsConfig | None = None,
    device: str = "auto",
    offline: bool = False,
    progress: Progress | None = None,
) -> Result:
    """Measure and save `results/<dictionaries>-<task>-units`."""
    members, _ = find_dictionaries(place, dictionaries)
    model = model_of(members, device, offline, progress)
    config = config or TopUnitsConfig()
    made = make_task(task, model.tokenizer, count, config.seed)
    result = top_units(model, members, made, config, progress)
    result.save(place.path_of("results", f"{dictionaries}-{made.name}-units"))
    return result
