"""FeatureScan: what a scan of a text says of every unit, read without the model."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from safetensors import SafetensorError, safe_open
from torch import Tensor

from workbench.core import Artifact, ArtifactError, ConfigError, Manifest, Result, Site, Unit, read_artifact

from .tally import BINS, bin_edges

KIND = "scan"
SHARD_SEQUENCES = 128
"""Sequences whose codes lie in one file."""
DENSE, TWIN = 0.1, 0.95
"""A unit active on more of the tokens is called dense; one whose direction is this close to another's a duplicate."""


def shard_name(number: int) -> str:
    """File of some sequences' codes."""
    return f"codes-{number:05d}.safetensors"


def open_scan(folder: Path) -> "FeatureScan":
    """Open what `scan` wrote.

    Raises:
        ArtifactError: there is none, it is damaged, or it was written before statistics were part of it.
    """
    if not has_statistics(folder):
        raise ArtifactError(f"the scan at {folder} has no statistics of its features", hint="scan the text again")
    return FeatureScan(read_artifact(Path(folder), KIND))


def has_statistics(folder: Path) -> bool:
    """Whether a scan holds the statistics of its features; those of early versions do not."""
    return "reads" in read_artifact(Path(folder), KIND).manifest.details


@dataclass(frozen=True)
class FeatureScan:
    """Codes of a stretch of text, with statistics and examples of every unit of every member of a set.

    A place is sequence * length + position. Activations are signed (neurons can be negative); `top` goes by size.
    """

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

    @property
    def members(self) -> Mapping[str, int]:
        """Width of every member of the set."""
        return self.manifest.details["widths"]

    @property
    def ids(self) -> Int[Tensor, "s t"]:
        """The scanned tokens."""
        return self._tensors["ids"]

    @property
    def lengths(self) -> Int[Tensor, " s"]:
        """Real tokens of every sequence."""
        return self._tensors["lengths"]

    def document(self, sequence: int) -> str:
        """The name of the document that a sequence is from."""
        return self.manifest.details["documents"][int(self._tensors["document"][sequence])]

    def member(self, site: Site | str) -> str:
        """The member that reads a Site (the first of several).

        Raises:
            ConfigError: none does.
        """
        wanted = str(site)
        if wanted in self.members:
            return wanted
        for name, reads in self.manifest.details["reads"].items():
            if wanted in reads:
                return name
        have = ", ".join(self.members)
        raise ConfigError(f"this scan has no features at {wanted}", hint=f"it has {have}")

    def statistic(self, name: str, member: str) -> Tensor:
        """One of count, square, histogram, twin, twin_cosine, {top,random,near}_{place,value} of a member."""
        try:
            return self._tensors[f"{name}.{member}"]
        except KeyError:
            raise ConfigError(
                f"this scan has no {name} of {member}", hint=f"members: {', '.join(self.members)}"
            ) from None

    def counts(self, site: Site | str) -> Int[Tensor, " f"]:
        """On how many tokens each feature of a site is active."""
        return self.statistic("count", self.member(site))

    def density(self, unit: Unit) -> float:
        """Share of the counted tokens on which a unit is active."""
        return int(self.counts(unit.site)[unit.index]) / max(self.counted_tokens, 1)

    def scale(self, unit: Unit) -> float:
        """Root mean square of a unit's activation where it is active; 0 for one that never is."""
        member = self.member(unit.site)
        count = int(self.statistic("count", member)[unit.index])
        return float((self.statistic("square", member)[unit.index] / max(count, 1)).sqrt())

    def flags(self, member: str) -> dict[str, Tensor]:
        """dead, dense and duplicate [f]."""
        share = self.statistic("count", member) / max(self.counted_tokens, 1)
        return {
            "dead": share == 0,
            "dense": share > DENSE,
            "duplicate": self.statistic("twin_cosine", member) > TWIN,
        }

    def table(self, member: str) -> dict[str, Tensor]:
        """What a browser of units sorts by: count, density, largest (by size), scale, flags, twin [f]."""
        count = self.statistic("count", member)
        made = {
            "count": count,
            "density": count / max(self.counted_tokens, 1),
            "largest": self.statistic("top_value", member)[:, 0],
            "scale": (self.statistic("square", member) / count.clamp_min(1)).sqrt().float(),
            "twin": self.statistic("twin", member),
            "twin_cosine": self.statistic("twin_cosine", member),
        }
        return made | self.flags(member)

    def histogram(self, unit: Unit) -> list[dict[str, Any]]:
        """Bins of the unit's absolute activation that are not empty: low, high, count."""
        counts, edges = self.statistic("histogram", self.member(unit.site))[unit.index], bin_edges()
        filled = counts.nonzero()[:, 0]
        span = range(int(filled[0]), int(filled[-1]) + 1) if len(filled) else range(0)
        assert len(counts) == BINS
        return [{"low": float(edges[n]), "high": float(edges[n + 1]), "count": int(counts[n])} for n in span]

    def places(self, unit: Unit, kind: str) -> tuple[list[int], list[float]]:
        """Places and activations of a unit's `top`, `random` or `near` examples, in the order kept."""
        member = self.member(unit.site)
        place, value = (self.statistic(f"{kind}_{part}", member)[unit.index] for part in ("place", "value"))
        there = value != 0
        return place[there].tolist(), value[there].tolist()

    def bands(self, unit: Unit, bands: int, count: int) -> list[tuple[int, int, float]]:
        """(band, place, activation): the random activations sorted into bands of equal count, the strongest first."""
        found = sorted(zip(*self.places(unit, "random"), strict=True), key=lambda pair: -abs(pair[1]))
        made = []
        for band in range(bands):
            part = found[band * len(found) // bands : (band + 1) * len(found) // bands]
            # spread over the band rather than its strongest end
            picked = part if len(part) <= count else [part[n * len(part) // count] for n in range(count)]
            made += [(band + 1, place, value) for place, value in picked]
        return made

    def codes(self, member: str) -> Iterator[tuple[int, Int[Tensor, "b t k"], Float[Tensor, "b t k"]]]:
        """(first sequence, index, value) of every shard; memory holds one at a time."""
        for number, first in enumerate(range(0, len(self.ids), SHARD_SEQUENCES)):
            with self._shard(number) as shard:
                yield first, shard.get_tensor(f"index.{member}"), shard.get_tensor(f"value.{member}")

    def activations(self, unit: Unit, sequence: int) -> Float[Tensor, " t"]:
        """A unit's activation at every token of a scanned sequence."""
        member, (number, row) = self.member(unit.site), divmod(sequence, SHARD_SEQUENCES)
        with self._shard(number) as shard:
            index, value = (shard.get_slice(f"{name}.{member}")[row : row + 1][0] for name in ("index", "value"))
        return torch.where(index == unit.index, value.float(), 0.0).sum(-1)

    def context(self, unit: Unit, place: int, value: float, strings: Any, width: int) -> dict[str, Any]:
        """One example: activation, document, tokens around the place, values (one per token), peak (its place)."""
        sequence, position = divmod(place, self.ids.shape[1])
        shown = slice(max(position - width, 0), min(position + width + 1, int(self.lengths[sequence])))
        return {
            "activation": value,
            "document": self.document(sequence),
            "sequence": sequence,
            "position": position,
            "tokens": strings(self.ids[sequence, shown].tolist()),
            "values": self.activations(unit, sequence)[shown].tolist(),
            "peak": position - shown.start,
        }

    def contexts(self, units: Iterable[Unit], strings: Any, count: int = 4, width: int = 12) -> Result:
        """Top examples of some units as a Result of kind `contexts`.

        Args:
            strings: turns token ids into printable texts (`model.tokenizer.strings`).
            count: examples per unit, largest activation first, each from another sequence.
            width: tokens shown before and after the peak.

        Table `contexts`: unit, rank, activation, document, tokens, values (one per token), peak (its place).
        """
        rows = []
        for unit in dict.fromkeys(units):
            places, values = self.places(unit, "top")
            for rank, (place, value) in enumerate(zip(places[:count], values[:count], strict=True)):
                rows.append({"unit": str(unit), "rank": rank, **self.context(unit, place, value, strings, width)})
        note = f"Largest activations among {self.counted_tokens:,} tokens, one example a sequence."
        return Result("contexts", tables={"contexts": rows}, params=self.source(), inputs=self.inputs(), notes=(note,))

    def source(self) -> dict[str, str]:
        """Which text was scanned, under what licence."""
        text = self.manifest.text
        return {
            "text": text.id if text else "",
            "licence": text.licence if text else "unknown",
            "licence_url": self.manifest.details["licence_url"],
        }

    def inputs(self) -> dict[str, str]:
        """Content hashes of what Results made from this scan rest on."""
        return {"scan": self.manifest.content_hash}

    def _shard(self, number: int) -> Any:
        path = self.artifact.path / shard_name(number)
        try:
            return safe_open(path, framework="pt")
        except (OSError, SafetensorError) as error:
            raise ArtifactError(f"cannot read the codes at {path}", found=str(error), hint="scan again") from None
