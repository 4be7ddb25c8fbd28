"""Train and find the dictionaries of a workspace by name."""

from collections.abc import Sequence
from pathlib import Path

from workbench.core import Progress, SiteError
from workbench.dictionaries import CoderConfig, DictionarySet, dictionaries_for_layers, load_dictionaries
from workbench.models import HookedModel
from workbench.store import Rows
from workbench.training import TrainConfig, Trained, fit
from workbench.workspace import Workspace


def new_dictionaries(
    model: HookedModel, family: str, config: CoderConfig, name: str, layers: Sequence[int] | None = None
) -> DictionarySet:
    """An untrained dictionary of a family for each layer (default: every layer of the model).

    Raises:
        ConfigError: unknown family. SiteError: a layer that the model lacks.
    """
    layers = range(model.shape.n_layers) if layers is None else layers
    for layer in layers:
        if not 0 <= layer < model.shape.n_layers:
            raise SiteError(f"no layer {layer} in {model.ref.id}", f"its layers are 0 to {model.shape.n_layers - 1}")
    return dictionaries_for_layers(family, layers, model.shape.d_model, config, name)


def train_dictionaries(
    model: HookedModel,
    rows: Rows,
    place: Workspace,
    name: str,
    family: str,
    config: CoderConfig,
    train: TrainConfig,
    progress: Progress | None = None,
) -> Trained:
    """Train one dictionary per layer found in the rows, into `dictionaries/<name>`; resumes where it stopped."""
    layers = sorted({site.layer for site in rows.sites if site.layer is not None})
    fresh = new_dictionaries(model, family, config, name, layers)
    with place.lock(f"train-{name}"):
        return fit(fresh, rows, place.path_of("dictionaries", name), train, progress)


def find_dictionaries(place: Workspace, name: str, progress: Progress | None = None) -> tuple[DictionarySet, Path]:
    """A set of the workspace and its folder; near names are offered for an unknown one."""
    folder = place.open("dictionaries", name).path
    return load_dictionaries(folder, progress=progress), folder


def load_controls(folder: Path) -> dict[str, DictionarySet]:
    """The controls that training left beside a set: `untrained` and `affine`."""
    return {
        name: load_dictionaries(folder / part)
        for name, part in (("untrained", "initial"), ("affine", "affine"))
        if (folder / part).is_dir()
    }
