"""Train, find and evaluate the dictionaries of a workspace by name."""

from collections.abc import Sequence
from pathlib import Path

from workbench.core import ConfigError, Progress, Result, Silent, Site, SiteError, get
from workbench.data import PackConfig, open_text, pack
from workbench.dictionaries import CoderConfig, DictionarySet, load_dictionaries, make_dictionary
from workbench.evaluation import EvaluateConfig, evaluate
from workbench.models import HookedModel, load_model
from workbench.store import Rows, StoreRows, StreamRows, open_store
from workbench.training import TrainConfig, Trained, fit
from workbench.workspace import Workspace

from .subject import open_subject


def new_dictionaries(
    model: HookedModel, family: str, config: CoderConfig, name: str, layers: Sequence[int] | None = None
) -> DictionarySet:
    """An untrained dictionary of a family for each layer, at the family's own sites.

    Raises:
        ConfigError: unknown family. SiteError: a layer that the model lacks.
    """
    kind = get("dictionary", family)
    layers = range(model.shape.n_layers) if layers is None else layers
    made = []
    for layer in layers:
        if not 0 <= layer < model.shape.n_layers:
            raise SiteError(f"no layer {layer} in {model.ref.id}", f"its layers are 0 to {model.shape.n_layers - 1}")
        reads, writes = ({site: site_width(model, site) for site in sites} for sites in kind.default_sites(layer))
        made.append(make_dictionary(family, config, reads, writes, f"{name}/{next(iter(reads))}"))
    return DictionarySet(made, name)


def site_width(model: HookedModel, site: Site) -> int:
    """The size of a row at a Site: what remains of the tensor after batch and position, flattened."""
    shape = model.shape
    if site.kind in ("mlp_pre", "mlp_pre_linear", "mlp_post"):
        return shape.d_mlp
    if site.kind in ("attn_q", "attn_z"):
        return shape.d_head * (1 if site.head is not None else shape.n_heads)
    if site.kind in ("attn_k", "attn_v"):
        return shape.d_head * (1 if site.head is not None else shape.n_kv_heads)
    return shape.d_model


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


def evaluate_by_name(
    place: Workspace,
    name: str,
    text: str,
    config: EvaluateConfig,
    pack_config: PackConfig | None = None,
    model: str | None = None,
    device: str = "auto",
    offline: bool = False,
    progress: Progress | None = None,
) -> Result:
    """Evaluate a set on the held-out split of a text; the Result is saved as `results/<name>-evaluation`.

    Raises:
        ConfigError: the set says of no model and none is given.
    """
    dictionaries, folder = find_dictionaries(place, name)
    reference = dictionaries.manifest.model if dictionaries.manifest else None
    if model is None and reference is None:
        raise ConfigError(f"{folder} does not say which model it belongs to", hint="name it with --model")
    subject = load_model(model or reference.id, device=device, offline=offline, progress=progress or Silent())
    packed = pack(open_text(text, offline=offline), subject.tokenizer, pack_config or PackConfig(), subject.policy)
    controls = load_controls(folder)
    result = evaluate(subject, dictionaries, packed.split("heldout"), config, controls=controls, progress=progress)
    result.save(place.path_of("results", f"{name}-evaluation"))
    return result


def load_controls(folder: Path) -> dict[str, DictionarySet]:
    """The controls that training left beside a set: `untrained` and `affine`."""
    return {
        name: load_dictionaries(folder / part)
        for name, part in (("untrained", "initial"), ("affine", "affine"))
        if (folder / part).is_dir()
    }
