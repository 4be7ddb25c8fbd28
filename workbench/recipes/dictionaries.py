"""Train and find the dictionaries of a workspace by name."""

from collections.abc import Sequence
from pathlib import Path

from workbench.core import Progress, Silent, SiteError, get
from workbench.data import PackConfig
from workbench.dictionaries import CoderConfig, DictionarySet, dictionaries_for_layers, load_dictionaries
from workbench.models import HookedModel, load_model
from workbench.store import Rows, StoreRows, StreamRows, open_store
from workbench.training import TrainConfig, Trained, fit
from workbench.workspace import Workspace

from .subject import open_subject


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


def training_rows(
    place: Workspace,
    model: str,
    text: str,
    config: PackConfig,
    *,
    family: str,
    layers: Sequence[int] | None = None,
    store: str | None = None,
    chunk_sequences: int = 128,
    passes: int = 1,
    device: str = "auto",
    dtype: str = "float32",
    offline: bool = False,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[HookedModel, Rows]:
    """The model and its training rows: from a store by name, or streamed over the training split of a text."""
    if store is not None:
        opened = open_store(place.path_of("stores", store))
        subject = load_model(model, device=device, dtype=dtype, offline=offline, policy=opened.policy,
                             progress=progress or Silent())  # fmt: skip
        opened.check_compatible(subject)
        return subject, StoreRows(opened, seed=seed, passes=passes, prefetch=True)
    subject, packed = open_subject(model, text, config, device=device, dtype=dtype, offline=offline, progress=progress)
    layers = tuple(range(subject.shape.n_layers)) if layers is None else layers
    sites = [site for layer in layers for part in get("dictionary", family).default_sites(layer) for site in part]
    rows = StreamRows(subject, packed.split("train"), tuple(dict.fromkeys(sites)), chunk_sequences, seed, passes)
    return subject, rows


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


def find_dictionaries(place: Workspace, name: str) -> tuple[DictionarySet, Path]:
    """A set of the workspace and its folder; near names are offered for an unknown one."""
    folder = place.open("dictionaries", name).path
    return load_dictionaries(folder), folder


def load_controls(folder: Path) -> dict[str, DictionarySet]:
    """The controls that training left beside a set: `untrained` and `affine`."""
    return {
        name: load_dictionaries(folder / part)
        for name, part in (("untrained", "initial"), ("affine", "affine"))
        if (folder / part).is_dir()
    }
