"""Import and export: a foreign layout becomes dictionaries of ours, and the other way round."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.core import (
    ArtifactError,
    ConfigError,
    Manifest,
    ModelRef,
    get,
    names,
    nearest,
    read_artifact,
    write_bytes,
)
from workbench.dictionaries import DictionarySet, load_dictionaries

from .assemble import build, weights_of
from .format import Foreign, Format
from .import_config import ImportConfig
from .source import Source
from .weights import CoderWeights
from .writing import write_folder

KEY = "exchange"
"""Where a manifest keeps format, source, licence and hashes of what was imported."""
OURS, MANIFEST = "workbench", "manifest.json"


@dataclass(frozen=True)
class Exchanged:
    """What an import or an export did.

    Attributes:
        format: its registered name.
        sites: what each dictionary reads.
        notes: what a user should know, one line each.
    """

    format: str
    path: Path
    sites: tuple[str, ...]
    licence: str
    notes: tuple[str, ...] = field(default=())


def formats() -> dict[str, Format]:
    """Every registered format by name."""
    return {name: get("format", name)() for name in names("format")}


def find_format(source: Source, name: str | None = None) -> Format:
    """The format of a source: the one named, else the one whose layout it has.

    Raises:
        ConfigError: no such format. ArtifactError: no layout fits; what was found and tried is said.
    """
    known = {name: format for name, format in formats().items() if format.reads}
    if name == OURS:
        raise ArtifactError(f"{source.label} is no artifact of this package", found=source.summary())
    if name is not None:
        if name not in known:
            raise ConfigError(f"unknown format {name!r}", hint=nearest(name, known, "formats"))
        return known[name]
    for format in known.values():
        if format.detect(source):
            return format
    raise ArtifactError(
        f"no known layout at {source.label}",
        found=source.summary(),
        hint=f"tried {OURS}, {', '.join(known)}; name the right one with --format to see what it misses",
    )


def read_foreign(source: Source, config: ImportConfig | None = None, format: str | None = None) -> DictionarySet:
    """The dictionaries of a folder or file in a foreign layout; a folder of such folders becomes one set.

    The manifest keeps format, source, licence and file hashes under `details["exchange"]`.

    Raises:
        ArtifactError: no known layout, damaged, or a feature that no kind computes.
    """
    config = config or ImportConfig()
    if format in (None, OURS) and is_ours(source):
        return _own(source, config)
    parts = _parts(source, format)
    kind = find_format(parts[0], format)
    found: list[Foreign] = []
    places: list[str] = []
    for part in parts:
        inside = kind.read(part, config)
        for tensors in part.opened:
            tensors.refuse_unread(kind.harmless)
        found += inside
        places += [part.name] * len(inside)
    if not found:
        raise ArtifactError(f"{source.label} holds no dictionary", found=source.summary())
    if len(found) > 1 and (config.site or config.writes or config.layer is not None):
        raise ConfigError(
            f"{source.label} holds {len(found)} dictionaries, for which one site cannot be named",
            hint="import them one by one",
        )
    name = source.name.split(".")[0] or "imported"
    made = [build(weights, config, name) for weights in found]
    for dictionary in made:
        dictionary.name = f"{name}/{dictionary.reads[0]}"
    several = len({dictionary.reads[0] for dictionary in made}) < len(made)
    members = dict(zip(_distinct(places), made, strict=True)) if several else made
    return DictionarySet(members, name, _manifest(source, parts, kind, found, config))


def _distinct(places: Sequence[str]) -> list[str]:
    """Names of dictionaries that read one site: their folders, made fit for names and told apart."""
    names = [re.sub(r"[^\w.+=-]+", "-", place) or "dictionary" for place in places]
    return [f"{name}-{number}" if names.count(name) > 1 else name for number, name in enumerate(names)]


def is_ours(source: Source) -> bool:
    """Whether it is an artifact that this package wrote."""
    if MANIFEST not in source or source.is_file:
        return False
    kind = source.json(MANIFEST).get("kind")
    return kind in ("dictionary", "dictionary set")


def _own(source: Source, config: ImportConfig) -> DictionarySet:
    """Our own artifact, checked against its hash; what it says of itself is kept."""
    if config.site or config.writes or config.layer is not None:
        raise ConfigError(f"{source.label} is an artifact of this package and knows its sites", hint="leave --site out")
    artifact = read_artifact(source.path)
    members = artifact.manifest.details.get("members", []) if artifact.manifest.kind == "dictionary set" else [""]
    if not isinstance(members, list) or any(not re.fullmatch(r"(?!\.)[\w.+=-]*", str(member)) for member in members):
        raise ArtifactError(f"{source.label} names members outside its folder")
    for member in members:  # a repository adds files of its own beside them, which no hash covers
        read_artifact(source.path / member).verify()
    found = load_dictionaries(source.path)
    manifest = found.manifest or Manifest(kind="dictionary set")
    about = manifest.details.get(KEY)
    licence = config.licence or (about.get("licence") if isinstance(about, dict) else None) or source.licence()
    new = {**(about if isinstance(about, dict) else {"format": OURS}), "source": source.label, "licence": licence}
    return DictionarySet(found, found.name, manifest.model_copy(update={"details": {**manifest.details, KEY: new}}))


def _parts(source: Source, format: str | None) -> list[Source]:
    """The source itself, or those of its subfolders that have the layout which the first of them has."""
    if source.is_file or any(kind.detect(source) for kind in _considered(format)):
        return [source]
    folders = sorted({name.rsplit("/", 1)[0] for name in source.files if "/" in name})
    below = [source.under(folder) for folder in folders]
    for kind in _considered(format):
        if fitting := [part for part in below if kind.detect(part)]:
            return fitting
    return [source]


def _considered(format: str | None) -> list[Format]:
    known = [kind for kind in formats().values() if kind.reads]
    return [kind for kind in known if format in (None, kind.name)]


def _manifest(
    source: Source, parts: Sequence[Source], kind: Format, found: Sequence[Foreign], config: ImportConfig
) -> Manifest:
    models = [config.base_model] if config.base_model else [weights.model for weights in found if weights.model]
    licence = config.licence or next((part.licence() for part in parts if part.licence() != "unknown"), "unknown")
    hashes: dict[str, str] = {}
    for part in parts:
        prefix = "" if part is source else f"{part.path.relative_to(source.path).as_posix()}/"
        hashes |= {f"{prefix}{name}": value for name, value in part.hashes().items()}
    about: dict[str, Any] = {
        "format": kind.name,
        "source": source.label,
        "licence": licence,
        "files": hashes,
        "positions": _positions(found),
        "notes": sorted({note for weights in found for note in weights.notes}),
    }
    return Manifest(
        kind="dictionary set",
        model=ModelRef(id=models[0], weight_hash="") if models else None,
        config=config.model_dump(mode="json", exclude_none=True),
        details={KEY: about},
    )


def _positions(found: Sequence[Foreign]) -> dict[str, Any]:
    """What the format says of the positions it was trained on; the rest of the mask is unknown."""
    bos = {weights.prepend_bos for weights in found if isinstance(weights, CoderWeights)} - {None}
    first = {weights.skip_first for weights in found} - {None}
    known: dict[str, Any] = {"prepend_bos": bos.pop()} if len(bos) == 1 else {}
    return {**known, "skip_first": first.pop()} if len(first) == 1 else known


def licence_of(dictionaries: DictionarySet) -> str:
    """The licence that an imported set came with; `unknown` for others."""
    about = dictionaries.manifest.details.get(KEY) if dictionaries.manifest else None
    return str(about.get("licence", "unknown")) if isinstance(about, dict) else "unknown"


def export(dictionaries: DictionarySet, format: str, folder: Path, licence: str | None = None) -> Exchanged:
    """Write dictionaries in a foreign layout, with a README that carries licence and source.

    Raises:
        ConfigError: no such format, or a kind that it cannot hold.
        ArtifactError: something that the format cannot express (it is named), or a folder that is not empty.
    """
    writable = {name: kind for name, kind in formats().items() if kind.writes}
    if format not in writable:
        raise ConfigError(f"cannot write the format {format!r}", hint=nearest(format, writable, "formats written"))
    folder, manifest = Path(folder), dictionaries.manifest
    weights = [weights_of(dictionary, manifest) for dictionary in dictionaries.values()]
    about = manifest.details.get(KEY, {}) if manifest else {}
    licence = licence or licence_of(dictionaries)
    notes: list[str] = []

    def fill(staging: Path) -> None:
        notes.extend(writable[format].write(weights, staging))
        write_bytes(staging / "README.md", _card(dictionaries, format, licence, about).encode())

    write_folder(folder, fill)
    sites = tuple(str(dictionary.reads[0]) for dictionary in dictionaries.values())
    return Exchanged(format, folder, sites, licence, tuple(notes))


def model_card(dictionaries: DictionarySet, licence: str, format: str = OURS) -> str:
    """The README.md that goes with a set: what it is, where it came from, its licence."""
    about = dictionaries.manifest.details.get(KEY, {}) if dictionaries.manifest else {}
    return _card(dictionaries, format, licence, about)


def _card(dictionaries: DictionarySet, format: str, licence: str, about: Any) -> str:
    """A model card in the Hugging Face form."""
    library = {"saelens": "saelens", "sparsify": "sparsify", "circuit-tracer": "circuit-tracer"}.get(format)
    head = {"license": None if licence in ("unknown", "see LICENSE") else licence, "library_name": library}
    model = dictionaries.manifest.model if dictionaries.manifest else None
    head["base_model"] = model.id if model and model.id.count("/") == 1 else None
    lines = [f"{key}: {json.dumps(value)}" for key, value in head.items() if value]
    rows = [
        f"| {', '.join(map(str, dictionary.reads))} | {', '.join(map(str, dictionary.writes))} "
        f"| {dictionary.family} | {dictionary.width:,} |"
        for dictionary in dictionaries.values()
    ]
    text = [f"Sparse dictionaries of {model.id if model else 'an unnamed model'}, written by mech-workbench."]
    if isinstance(about, dict) and about.get("source"):
        text.append(f"Imported from {about['source']} ({about.get('format')}); licence: {licence}.")
    table = ["| reads | writes | kind | features |", "|---|---|---|---|", *rows]
    return "\n".join(
        ["---", *lines, "---", "", "# " + (dictionaries.name or "dictionaries"), "", *text, "", *table, ""]
    )
