"""Where every feature fires: one pass over some text, kept as sparse codes with each feature's statistics and examples.

The result is an artifact of kind `scan`; examples are read from it without the model.
"""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch
from jaxtyping import Bool
from safetensors.torch import save
from torch import Tensor

from workbench.core import Codes, Edit, Interrupted, Manifest, Progress, Silent, Site, write_artifact, write_bytes
from workbench.data import PackedText
from workbench.dictionaries import Dictionary, DictionarySet
from workbench.models import HookedModel, TokenBatch

from .config import ScanConfig
from .feature_scan import KIND, SHARD_SEQUENCES, FeatureScan, shard_name
from .tally import Tally
from .units import twins


def scan(
    model: HookedModel,
    dictionaries: DictionarySet,
    text: PackedText,
    folder: Path,
    config: ScanConfig | None = None,
    progress: Progress | None = None,
    weights: Mapping[str, Tensor] | None = None,
) -> FeatureScan:
    """Encode some sequences of a text with every dictionary of a set, and write codes, statistics and examples.

    Codebooks stand in the model meanwhile (with the `weights` that were trained with them), other dictionaries only
    watch. Only positions that the model's mask policy counts can be examples. The model runs once; codes go to disk in
    shards (6 bytes an active feature), so that memory does not grow with the text.

    Raises:
        Interrupted: cancelled; nothing was written.
    """
    config, progress = config or ScanConfig(), progress or Silent()
    text = text.take(torch.arange(min(config.sequences, len(text))))
    keep = text.mask(model.policy, model.tokenizer.special_ids)
    manifest = Manifest(
        kind=KIND,
        name=folder.name,
        model=model.ref,
        text=text.ref,
        mask=model.policy,
        seed=config.seed,
        parents={"dictionaries": dictionaries.manifest.content_hash if dictionaries.manifest else ""},
        config=config.model_dump(mode="json"),
        details={
            "documents": list(text.document_ids),
            "names": {name: dictionary.name for name, dictionary in dictionaries.items()},
            "widths": {name: dictionary.width for name, dictionary in dictionaries.items()},
            "reads": {name: [str(site) for site in dictionary.reads] for name, dictionary in dictionaries.items()},
            "counted_tokens": int(keep.sum()),
            "licence_url": text.licence_url,
        },
    )

    def fill(staging: Path) -> None:
        tensors = {"ids": text.ids, "lengths": text.lengths, "document": text.document}
        tensors |= _read(model, dictionaries, text, keep, config, staging, progress, weights)
        write_bytes(staging / "tensors.safetensors", save({k: t.contiguous() for k, t in tensors.items()}))

    return FeatureScan(write_artifact(folder, manifest, fill=fill))


@torch.no_grad()
def _read(
    model: HookedModel,
    dictionaries: DictionarySet,
    text: PackedText,
    keep: Bool[Tensor, "s t"],
    config: ScanConfig,
    staging: Path,
    progress: Progress,
    weights: Mapping[str, Tensor] | None,
) -> dict[str, Tensor]:
    """Run the text through, write the codes shard by shard, and give the statistics."""
    length = text.ids.shape[1]
    tallies = {
        name: Tally(dictionary.width, length, config.examples, config.samples, config.near_misses, config.seed)
        for name, dictionary in dictionaries.items()
    }
    books = {name: dictionary for name, dictionary in dictionaries.items() if dictionary.unit_kind == "code"}
    edits = [Edit.through(book) for book in books.values()]
    watching = {name: dictionary for name, dictionary in dictionaries.items() if name not in books}
    sites = tuple(dict.fromkeys(site for dictionary in watching.values() for site in dictionary.reads))
    progress.phase("scanning features", float(text.lengths.sum()), "tokens")
    for number, shard in enumerate(range(0, len(text), SHARD_SEQUENCES)):
        parts: dict[str, list[tuple[Tensor, Tensor]]] = {name: [] for name in dictionaries}
        for part in _batches(shard, min(shard + SHARD_SEQUENCES, len(text)), config.batch_sequences):
            if progress.cancelled():
                raise Interrupted("the feature scan was cancelled before it was complete")
            ids, lengths, kept = text.ids[part], text.lengths[part], keep[part]
            tokens = TokenBatch(ids.long(), lengths.long())
            run = model.run(tokens, edits, sites=sites, logits=False, weights=weights or None)
            for name, dictionary in dictionaries.items():
                if name in books:
                    index, value = _placed(run.codes[dictionary.name], run.code_rows[dictionary.name], kept)
                else:
                    index, value = _codes(dictionary, run.activations, kept, tallies[name], part.start)
                parts[name].append((index, value))
                tallies[name].add(index, value.float(), part.start)
            progress.advance(float(lengths.sum()))
        codes = {}
        for name in dictionaries:
            codes[f"index.{name}"], codes[f"value.{name}"] = (_joined(each) for each in zip(*parts[name], strict=True))
        write_bytes(staging / shard_name(number), save(codes))
    tensors: dict[str, Tensor] = {}
    for name, dictionary in dictionaries.items():
        tensors |= tallies[name].tensors(name)
        with torch.no_grad():
            tensors[f"twin.{name}"], tensors[f"twin_cosine.{name}"] = twins(dictionary)
    return tensors


def _batches(first: int, last: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, last)) for start in range(first, last, size))


@torch.no_grad()
def _codes(
    dictionary: Dictionary, inputs: dict[Site, Tensor], keep: Bool[Tensor, "b t"], tally: Tally, first: int
) -> tuple[Tensor, Tensor]:
    """index int32 and value bfloat16 [b, t, k]; nothing is active where `keep` is False."""
    flat = {site: inputs[site].flatten(0, 1).flatten(1) for site in dictionary.reads}
    codes = dictionary.encode(flat).padded()
    counted = keep.flatten()
    index = codes.index.to("cpu", torch.int32)
    value = torch.where(counted[:, None], codes.value.cpu(), 0.0).to(torch.bfloat16)
    with contextlib.suppress(NotImplementedError):  # a kind without a gate has no near misses
        tally.add_silent(dictionary.pre_activations(flat), index, value, counted, first)
    return index.view(*keep.shape, -1), value.view(*keep.shape, -1)


def _placed(codes: Codes, rows: Bool[Tensor, "b t"], keep: Bool[Tensor, "b t"]) -> tuple[Tensor, Tensor]:
    """What a codebook chose in the run, as `_codes` gives it."""
    codes, rows = codes.padded(), rows.cpu()
    index = torch.zeros(*keep.shape, codes.index.shape[1], dtype=torch.int32)
    value = torch.zeros(index.shape, dtype=torch.bfloat16)
    index[rows], value[rows] = codes.index.to("cpu", torch.int32), codes.value.to("cpu", torch.bfloat16)
    return index, torch.where(keep[..., None], value, 0.0)


def _joined(parts: tuple[Tensor, ...]) -> Tensor:
    """Batches of codes with as many places as the fullest row of all needs."""
    most = max(part.shape[2] for part in parts)
    return torch.cat([torch.nn.functional.pad(part, (0, most - part.shape[2])) for part in parts])
