"""Import, export and push the dictionaries of a workspace."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from workbench.core import ArtifactError, ConfigError, Progress, Result, Silent, write_bytes
from workbench.data import PackConfig, open_text, pack
from workbench.dictionaries import DictionarySet
from workbench.exchange import (
    Exchanged,
    ImportConfig,
    LatentCache,
    Source,
    cache_folder_name,
    export,
    fetch,
    licence_of,
    model_card,
    read_foreign,
    upload,
    write_folder,
    write_saebench,
)
from workbench.models import load_model
from workbench.workspace import Workspace

from .dictionaries import find_dictionaries

_BATCH = 16


def import_by_name(
    place: Workspace,
    source: str,
    name: str | None = None,
    format: str | None = None,
    config: ImportConfig | None = None,
    offline: bool = False,
    progress: Progress | None = None,
) -> Exchanged:
    """Read a folder, a file or `hf:org/repo/path` in any known layout into `dictionaries/<name>`.

    Raises:
        ArtifactError: no known layout, damaged, or a feature that no kind computes; or the name is taken.
        ConfigError, FetchError: a place on the hub that is not there or cannot be reached.
    """
    found_at = fetch(source, offline, progress) if source.startswith("hf:") else Source(Path(source).expanduser())
    found = read_foreign(found_at, config, format)
    name = name or found.name
    folder = place.path_of("dictionaries", name)
    if folder.exists():
        raise ArtifactError(f"there are dictionaries called {name!r} already", hint="choose another with --name")
    for dictionary in found.values():
        dictionary.name = f"{name}/{dictionary.reads[0]}"
    made = DictionarySet(dict(found.items()), name, found.manifest)
    made.save(folder)
    about = made.manifest.details["exchange"] if made.manifest else {}
    sites = tuple(str(site) for dictionary in made.values() for site in dictionary.reads)
    return Exchanged(about["format"], folder, sites, about["licence"], tuple(about.get("notes", ())))


def export_by_name(
    place: Workspace,
    name: str,
    format: str,
    folder: Path,
    *,
    text: str | None = None,
    sequences: int = 256,
    splits: int = 5,
    pack_config: PackConfig | None = None,
    device: str = "auto",
    offline: bool = False,
    progress: Progress | None = None,
) -> Exchanged:
    """Write a set of the workspace in another library's layout.

    `saebench` writes the figures of `results/<name>-evaluation`; `delphi` runs the model over `sequences` of a text and
    writes which latents were active where.

    Raises:
        ConfigError: no such format, a kind that it cannot hold, or `delphi` without a text.
        ArtifactError: no such set, something that the format cannot express, or a folder in use.
    """
    progress = progress or Silent()
    dictionaries, _ = find_dictionaries(place, name)
    if format not in ("saebench", "delphi"):
        return export(dictionaries, format, folder)
    sites = tuple(str(site) for dictionary in dictionaries.values() for site in dictionary.reads)
    if format == "saebench":
        artifact = place.open("results", f"{name}-evaluation")
        result, made = Result.load(artifact.path), artifact.manifest.created
        model = dictionaries.manifest.model.id if dictionaries.manifest and dictionaries.manifest.model else ""
        write_folder(folder, lambda staging: _done(write_saebench(result, staging, name, model, made)))
    else:
        if text is None:
            raise ConfigError("delphi's cache wants a text", hint="name one with --text")
        settings = {"device": device, "offline": offline, "progress": progress}
        write_folder(
            folder,
            lambda staging: _latent_cache(dictionaries, text, sequences, splits, pack_config, staging, **settings),
        )
    return Exchanged(format, Path(folder), sites, licence_of(dictionaries))


def push_by_name(
    place: Workspace,
    name: str,
    target: str,
    format: str | None = None,
    licence: str | None = None,
    private: bool = False,
    progress: Progress | None = None,
) -> str:
    """Upload a set of the workspace to `hf:org/repo[/path]`, in our own layout or another; returns the address.

    Raises:
        ConfigError: an imported set whose licence nobody has named, or a place that cannot be written to.
        FetchError: not logged in, no permission, or the hub cannot be reached.
    """
    dictionaries, _ = find_dictionaries(place, name)
    imported = dictionaries.manifest is not None and "exchange" in dictionaries.manifest.details
    known = licence or licence_of(dictionaries)
    if imported and known == "unknown":
        raise ConfigError(f"the licence of {name} is unknown", hint="it was imported; name its licence with --licence")
    with TemporaryDirectory() as staging:
        ready = Path(staging) / name
        if format is None:
            card = model_card(dictionaries, known).encode()
            dictionaries.save(ready, fill=lambda unsealed: write_bytes(unsealed / "README.md", card))
        else:
            export(dictionaries, format, ready, licence=known)
        return upload(ready, target, private, progress)


def _done(_: Any) -> None:
    return None


def _latent_cache(
    dictionaries: DictionarySet,
    text: str,
    sequences: int,
    splits: int,
    pack_config: PackConfig | None,
    folder: Path,
    *,
    device: str,
    offline: bool,
    progress: Progress,
) -> None:
    """One cache per dictionary, from the held-out split of a text."""
    reference = dictionaries.manifest.model if dictionaries.manifest else None
    if reference is None:
        raise ConfigError(
            f"{dictionaries.name} does not say which model it belongs to", hint="import it with --base-model"
        )
    subject = load_model(reference.id, device=device, offline=offline, progress=progress)
    packed = pack(open_text(text, offline=offline), subject.tokenizer, pack_config or PackConfig(), subject.policy)
    packed = packed.split("heldout")
    count, length = min(sequences, len(packed)), packed.ids.shape[1]
    special = subject.tokenizer.special_ids if subject.tokenizer is not None else ()
    mask = packed.mask(subject.policy, tuple(special))
    caches = {name: LatentCache(dictionary.width, length) for name, dictionary in dictionaries.items()}
    sites = sorted({site for dictionary in dictionaries.values() for site in dictionary.reads})
    progress.phase("encode", total=count, unit="sequences")
    for start in range(0, count, _BATCH):
        part = slice(start, min(start + _BATCH, count))
        tokens = packed.ids[part].long()
        found = subject.capture(tokens, sites)
        for name, dictionary in dictionaries.items():
            counted = mask[part].to(subject.device)
            inputs = {site: found[site][counted].flatten(1).float() for site in dictionary.reads}
            caches[name].add(tokens, dictionary.encode(inputs), mask[part])
        progress.advance(len(tokens))
    for name, dictionary in dictionaries.items():
        module = cache_folder_name(dictionary.reads[0], dictionary.writes[0])
        about = {
            "dataset_repo": packed.ref.id, "dataset_split": packed.ref.split, "dataset_name": "",
            "dataset_column": "text",
            "batch_size": _BATCH, "n_tokens": count * length, "model_name": reference.id,
        }  # fmt: skip
        caches[name].write(folder / "latents" / module, about, splits)
