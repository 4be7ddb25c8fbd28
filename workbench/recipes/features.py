"""Scan, describe, search and steer the units of a workspace by name: features, codes, and the model's own neurons."""

from collections.abc import Sequence
from typing import Any, Literal

from workbench.circuits import neuron_set
from workbench.core import ConfigError, Progress, Result, Silent, Unit, read_artifact
from workbench.data import PackConfig
from workbench.dictionaries import DictionarySet, load_dictionaries
from workbench.features import (
    Bench,
    CardConfig,
    FeatureScan,
    ScanConfig,
    SearchConfig,
    SteerConfig,
    SteeringEdit,
    contrast_texts,
    dose_curve,
    feature_card,
    has_statistics,
    open_scan,
    scan,
    search_labels,
    search_pattern,
    search_text,
    search_token,
    steer,
)
from workbench.models import HookedModel, load_model
from workbench.workspace import Database, Workspace

from .codebook_artifact import load_codebooks
from .subject import open_subject

NEURONS = "neurons"
"""The name of the model's own neurons among sets of dictionaries."""
SCANNED_NEURONS = 32
"""Strongest neurons of an MLP that a scan keeps at each position."""
SearchMode = Literal["label", "pattern", "text", "token", "contrast"]


def bench_of(place: Workspace, name: str, model: HookedModel) -> Bench:
    """A set of the workspace (or `neurons`) with the model that it belongs to.

    Raises:
        ArtifactError: there is none, it is damaged, or it belongs to other weights.
    """
    if name == NEURONS:
        return Bench(model, neuron_set(model, k=2**31, name=NEURONS))
    folder = place.open("dictionaries", name).path
    members = load_dictionaries(folder, str(model.device))
    Bench(model, members).check()
    if any(member.unit_kind == "code" for member in members.values()):
        return Bench(model, *load_codebooks(folder, model, str(model.device)))
    return Bench(model, members)


def scan_of(place: Workspace, bench: Bench) -> FeatureScan | None:
    """The newest scan of a bench's very dictionaries, None if the workspace has none."""
    path = place.path_of("stores", scan_name(bench.dictionaries, bench.model))
    if not path.is_dir() or not has_statistics(path):
        return None
    found = open_scan(path)
    manifest = bench.dictionaries.manifest
    wanted = manifest.content_hash if manifest else ""
    same_model = found.manifest.model is not None and found.manifest.model.weight_hash == bench.model.ref.weight_hash
    return found if same_model and found.manifest.parents.get("dictionaries", "") == wanted else None


def scan_name(dictionaries: DictionarySet, model: HookedModel) -> str:
    """How the scan of a set is called in the workspace; neurons have one for each model."""
    if dictionaries.manifest is None:
        return f"{dictionaries.name}-{model.ref.weight_hash[:12]}-scan"
    return f"{dictionaries.name}-scan"


def open_bench(
    place: Workspace,
    name: str,
    *,
    model: str | None = None,
    device: str = "auto",
    dtype: str = "float32",
    offline: bool = False,
    progress: Progress | None = None,
) -> tuple[Bench, FeatureScan | None]:
    """Load a set of the workspace with its model, and its scan if there is one.

    Raises:
        ConfigError: the set does not say which model it belongs to, and none is given.
    """
    named = model or _model_of(place, name)
    bench = bench_of(
        place, name, load_model(named, device=device, dtype=dtype, offline=offline, progress=progress or Silent())
    )
    return bench, scan_of(place, bench)


def scan_by_name(
    place: Workspace,
    name: str,
    config: ScanConfig | None = None,
    *,
    text: str,
    pack: PackConfig | None = None,
    split: str = "heldout",
    model: str | None = None,
    device: str = "auto",
    dtype: str = "float32",
    offline: bool = False,
    progress: Progress | None = None,
) -> FeatureScan:
    """Scan a text with every member of a set, into `stores/<name>-scan`."""
    named = model or _model_of(place, name)
    subject, packed = open_subject(named, text, pack, device=device, dtype=dtype, offline=offline, progress=progress)
    bench = bench_of(place, name, subject)
    members = neuron_set(subject, SCANNED_NEURONS, name=NEURONS) if name == NEURONS else bench.dictionaries
    path = place.path_of("stores", scan_name(members, subject))
    return scan(subject, members, packed.split(split), path, config, progress, bench.weights)


def card_by_name(place: Workspace, unit: Unit, config: CardConfig | None = None, **opening: Any) -> Result:
    """The card of a unit. `opening` goes to `open_bench`.

    Raises:
        ConfigError: the set was not scanned yet.
    """
    bench, found = open_bench(place, unit.artifact or NEURONS, **opening)
    return feature_card(bench, _scanned(found, unit.artifact or NEURONS), unit, config, opening.get("progress"))


def search_units_by_name(
    place: Workspace,
    name: str,
    mode: SearchMode,
    query: str,
    against: Sequence[str] = (),
    config: SearchConfig | None = None,
    **opening: Any,
) -> Result:
    """Units by label, pattern, text, token or contrast (texts of `query`, a line each, against `against`).

    Raises:
        ConfigError: a pattern without a scan, or see the searches.
    """
    if mode == "label":
        return search_labels(labels_of(place, name), query)
    bench, found = open_bench(place, name, **opening)
    if mode == "pattern":
        scanned = _scanned(found, name)
        return search_pattern(bench, scanned, query, config, progress=opening.get("progress"))
    if mode == "text":
        return search_text(bench, query, found, config)
    if mode == "token":
        return search_token(bench, query, found, config)
    return contrast_texts(bench, query.splitlines(), against, config, opening.get("progress"))


def steer_units_by_name(
    place: Workspace,
    name: str,
    prompt: str,
    edits: Sequence[SteeringEdit],
    config: SteerConfig | None = None,
    *,
    doses: bool = False,
    target: str | None = None,
    **opening: Any,
) -> Result:
    """A prompt with and without some edits and with controls, or (with `doses`) at growing strengths."""
    bench, found = open_bench(place, name, **opening)
    if doses:
        return dose_curve(bench, prompt, edits, target, config, found, opening.get("progress"))
    return steer(bench, prompt, edits, config, found, opening.get("progress"))


def labels_of(place: Workspace, name: str) -> dict[Unit, list[tuple[str, str, float]]]:
    """(text, source, score) of every label of a set's units, people's (source `you`, score 1) first."""
    database, artifact = Database(place.path), "" if name == NEURONS else name
    found: dict[Unit, list[tuple[str, str, float]]] = {}
    for unit, text in database.labels(artifact).items():
        found.setdefault(unit, []).append((text, "you", 1.0))
    for unit, label in database.automatic_labels(artifact).items():
        found.setdefault(unit, []).append((label.text, label.source, label.score))
    return found


def _model_of(place: Workspace, name: str) -> str:
    reference = None if name == NEURONS else read_artifact(place.open("dictionaries", name).path).manifest.model
    if reference is None:
        raise ConfigError(f"{name} does not say which model it belongs to", hint="name it with --model")
    return reference.id


def _scanned(found: FeatureScan | None, name: str) -> FeatureScan:
    if found is None:
        raise ConfigError(f"{name} was not scanned yet", hint=f"run: workbench features scan {name}")
    return found
