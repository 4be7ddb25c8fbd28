"""Where every feature fires: one pass over some text, kept as sparse codes with each feature's top examples.

The result is an artifact of kind `scan`; examples are read from it without the model.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.core import (
    Artifact,
    ConfigError,
    Interrupted,
    Manifest,
    Progress,
    Result,
    Silent,
    Site,
    Unit,
    read_artifact,
    write_artifact,
)
from workbench.data import PackedText
from workbench.dictionaries import Dictionary, DictionarySet
from workbench.models import HookedModel, TokenBatch

from .config import ScanConfig

KIND = "scan"


def scan(
    model: HookedModel,
    dictionaries: DictionarySet,
    text: PackedText,
    folder: Path,
    config: ScanConfig | None = None,
    progress: Progress | None = None,
) -> "FeatureScan":
    """Encode some sequences of a text with every dictionary of a set and write the codes.

    Only positions that the model's mask policy counts can be examples. Memory and disk grow with
    `config.sequences` (6 bytes an active feature); the model runs once.

    Raises:
        Interrupted: cancelled; nothing was written.
    """
    config, progress = config or ScanConfig(), progress or Silent()
    text = text.take(torch.arange(min(config.sequences, len(text))))
    keep = text.mask(model.policy, model.tokenizer.special_ids)
    collected: dict[str, list[tuple[Tensor, Tensor]]] = {name: [] for name in dictionaries}
    sites = dict.fromkeys(site for dictionary in dictionaries.values() for site in dictionary.reads)
    progress.phase("scanning features", float(text.lengths.sum()), "tokens")
    for start in range(0, len(text), config.batch_sequences):
        if progress.cancelled():
            raise Interrupted("the feature scan was cancelled before it was complete")
        batch = text.take(torch.arange(start, min(start + config.batch_sequences, len(text))))
        inputs = model.capture(TokenBatch(batch.ids, batch.lengths), tuple(sites))
        for name, dictionary in dictionaries.items():
            collected[name].append(_codes(dictionary, inputs, keep[start : start + len(batch)]))
        progress.advance(float(batch.lengths.sum()))
    tensors = {"ids": text.ids, "lengths": text.lengths, "document": text.document}
    for name, dictionary in dictionaries.items():
        index, value = (_cat(parts) for parts in zip(*collected.pop(name), strict=True))
        tensors |= {f"index.{name}": index, f"value.{name}": value}
        tensors |= _top_examples(index, value, dictionary.width, config.examples, name)
    manifest = Manifest(
        kind=KIND,
        name=folder.name,
        model=model.ref,
        text=text.ref,
        mask=model.policy,
        parents={"dictionaries": dictionaries.manifest.content_hash if dictionaries.manifest else ""},
        config=config.model_dump(mode="json"),
        details={
            "documents": list(text.document_ids),
            "names": {name: dictionary.name for name, dictionary in dictionaries.items()},
            "widths": {name: dictionary.width for name, dictionary in dictionaries.items()},
            "counted_tokens": int(keep.sum()),
            "licence_url": text.licence_url,
        },
    )
    return FeatureScan(write_artifact(folder, manifest, tensors))


def open_scan(folder: Path) -> "FeatureScan":
    """Open what `scan` wrote."""
    return FeatureScan(read_artifact(Path(folder), KIND))


@dataclass(frozen=True)
class FeatureScan:
    """Codes of a stretch of text: [s, t, k] per site, with each feature's firing count and top examples."""

    artifact: Artifact

    @cached_property
    def _tensors(self) -> dict[str, Tensor]:
        return self.artifact.tensors()

    @property
    def manifest(self) -> Manifest:
        return self.artifact.manifest

    @property
    def counted_tokens(self) -> int:
        """Tokens that could be examples: the denominator of every density."""
        return self.manifest.details["counted_tokens"]

    def counts(self, site: Site | str) -> Int[Tensor, " f"]:
        """On how many tokens each feature of a site is active."""
        return self._get("count", Site.parse(site))

    def density(self, unit: Unit) -> float:
        """Share of the counted tokens on which a unit is active."""
        return int(self.counts(unit.site)[unit.index]) / max(self.counted_tokens, 1)

    def activations(self, unit: Unit, sequence: int) -> Float[Tensor, " t"]:
        """A unit's activation at every token of a scanned sequence."""
        index, value = (self._get(name, unit.site)[sequence] for name in ("index", "value"))
        return torch.where(index == unit.index, value.float(), 0.0).sum(-1)

    def contexts(self, units: Iterable[Unit], strings: Any, count: int = 4, width: int = 12) -> Result:
        """Top examples of some units as a Result of kind `contexts`.

        Args:
            strings: turns token ids into printable texts (`model.tokenizer.strings`).
            count: examples per unit, largest activation first, each from another sequence.
            width: tokens shown before and after the peak.

        Table `contexts`: unit, rank, activation, document, tokens, values (one per token), peak (its place).
        """
        rows = [
            self._context(unit, rank, int(place), float(value), strings, width)
            for unit in dict.fromkeys(units)
            for rank, (place, value) in enumerate(zip(*self._top(unit, count), strict=True))
        ]
        text = self.manifest.text
        params = {
            "text": text.id if text else "",
            "licence": text.licence if text else "unknown",
            "licence_url": self.manifest.details["licence_url"],
        }
        note = f"Largest activations among {self.counted_tokens:,} tokens, one example a sequence."
        inputs = {"scan": self.manifest.content_hash}
        return Result("contexts", tables={"contexts": rows}, params=params, inputs=inputs, notes=(note,))

    def _top(self, unit: Unit, count: int) -> tuple[list[int], list[float]]:
        place, value = (self._get(name, unit.site)[unit.index] for name in ("top_place", "top_value"))
        alive = value[:count] > 0
        return place[:count][alive].tolist(), value[:count][alive].float().tolist()

    def _context(self, unit: Unit, rank: int, place: int, value: float, strings: Any, width: int) -> dict[str, Any]:
        ids, lengths = self._tensors["ids"], self._tensors["lengths"]
        sequence, position = divmod(place, ids.shape[1])
        shown = slice(max(position - width, 0), min(position + width + 1, int(lengths[sequence])))
        return {
            "unit": str(unit),
            "rank": rank,
            "activation": value,
            "document": self.manifest.details["documents"][int(self._tensors["document"][sequence])],
            "tokens": strings(ids[sequence, shown].tolist()),
            "values": self.activations(unit, sequence)[shown].tolist(),
            "peak": position - shown.start,
        }

    def _get(self, name: str, site: Site) -> Tensor:
        try:
            return self._tensors[f"{name}.{site}"]
        except KeyError:
            have = ", ".join(self.manifest.details["widths"])
            raise ConfigError(f"this scan has no features at {site}", hint=f"it has {have}") from None


def _codes(dictionary: Dictionary, inputs: dict[Site, Tensor], keep: Tensor) -> tuple[Tensor, Tensor]:
    """index int32 and value bfloat16 [b, t, k]; nothing is active where `keep` is False."""
    shape = keep.shape
    flat = {site: inputs[site].flatten(0, 1).flatten(1) for site in dictionary.reads}
    with torch.no_grad():
        codes = dictionary.encode(flat).padded()
    value = torch.where(keep.flatten()[:, None].to(codes.value.device), codes.value, 0.0)
    return (
        codes.index.to("cpu", torch.int32).view(*shape, -1),
        value.to("cpu", torch.bfloat16).view(*shape, -1),
    )


def _cat(parts: Sequence[Tensor]) -> Tensor:
    """Batches of codes with as many places as the fullest row of all needs."""
    most = max(part.shape[2] for part in parts)
    return torch.cat([torch.nn.functional.pad(part, (0, most - part.shape[2])) for part in parts])


def _top_examples(index: Tensor, value: Tensor, width: int, count: int, name: str) -> dict[str, Tensor]:
    """Per feature: how often it fires, and its `count` largest activations, at most one from a sequence."""
    sequences, length, k = index.shape
    alive = value.flatten() > 0
    feature, values = index.flatten()[alive].long(), value.flatten()[alive].float()
    place = (torch.arange(sequences * length, dtype=torch.int32).repeat_interleave(k))[alive]
    order = torch.argsort(values, descending=True, stable=True)
    order = order[torch.argsort(feature[order], stable=True)]
    feature_of, place_of, value_of = feature[order], place[order], values[order]
    pair = feature_of * sequences + place_of // length
    first = _first_of_each(pair)
    feature_of, place_of, value_of = feature_of[first], place_of[first], value_of[first]
    starts = torch.searchsorted(feature_of, torch.arange(width))
    rank = torch.arange(len(feature_of)) - starts[feature_of]
    kept = rank < count
    top_place = torch.zeros(width, count, dtype=torch.int32)
    top_value = torch.zeros(width, count)
    top_place[feature_of[kept], rank[kept]] = place_of[kept]
    top_value[feature_of[kept], rank[kept]] = value_of[kept]
    counts = torch.bincount(feature, minlength=width).to(torch.int32)
    return {f"top_place.{name}": top_place, f"top_value.{name}": top_value, f"count.{name}": counts}


def _first_of_each(values: Tensor) -> Tensor:
    """Places of the first occurrence of every value, in order."""
    order = torch.argsort(values, stable=True)
    ordered = values[order]
    new = torch.ones(len(values), dtype=torch.bool)
    new[1:] = ordered[1:] != ordered[:-1]
    return order[new].sort().values
