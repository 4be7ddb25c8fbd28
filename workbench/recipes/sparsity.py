"""Profile and dial the sparsity of a model by name; the Results are kept in the workspace."""

from typing import Any

from workbench.core import Progress, Result
from workbench.data import PackConfig
from workbench.evaluation import DialConfig, dial
from workbench.sparsity import ProfileConfig, profile
from workbench.workspace import Workspace

from .subject import open_subject, parse_layers


def profile_by_name(
    place: Workspace,
    name: str,
    config: ProfileConfig | None = None,
    *,
    model: str,
    text: str,
    pack: PackConfig | None = None,
    split: str = "all",
    **subject: Any,
) -> Result:
    """`profile` of a model over a text, saved as `results/<name>`; `subject` goes to `open_subject`."""
    progress: Progress | None = subject.get("progress")
    hooked, packed = open_subject(model, text, pack, **subject)
    result = profile(hooked, packed.split(split), config, progress)
    result.save(place.path_of("results", name))
    return result


def dial_by_name(
    place: Workspace,
    name: str,
    config: DialConfig | None = None,
    *,
    model: str,
    text: str,
    pack: PackConfig | None = None,
    **subject: Any,
) -> Result:
    """`dial` of a model over a text, saved as `results/<name>`; `subject` goes to `open_subject`."""
    progress: Progress | None = subject.get("progress")
    config = config or DialConfig()
    layers = parse_layers(config.layers)
    hooked, packed = open_subject(model, text, pack, **subject)
    result = dial(hooked, packed, config, layers, progress)
    result.save(place.path_of("results", name))
    return result
