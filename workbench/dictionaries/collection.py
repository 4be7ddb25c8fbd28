"""DictionarySet: the dictionaries of one model, by name, kept as one artifact."""

import copy
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import cast

import torch

from workbench.core import (
    Artifact,
    ArtifactError,
    ConfigError,
    Interrupted,
    Manifest,
    Progress,
    Site,
    generator,
    read_artifact,
    write_artifact,
)

from .affine import AffineMap
from .base import Dictionary, load_dictionary
from .coder import Coder

KIND = "dictionary set"


class DictionarySet(Mapping[str, Dictionary]):
    """Name -> Dictionary, in the order in which a forward pass meets them; a Site finds the only one that reads it.

    Args:
        dictionaries: by name, or in a row if each reads another Site, which then names it.

    Attributes:
        name: what Units and reports call the set.
        manifest: where it came from; None for one made in memory.
    """

    def __init__(
        self,
        dictionaries: Mapping[str, Dictionary] | Iterable[Dictionary],
        name: str = "",
        manifest: Manifest | None = None,
    ) -> None:
        self.name, self.manifest = name, manifest
        self._members: dict[str, Dictionary] = {}
        if isinstance(dictionaries, Mapping):
            pairs = list(cast(Mapping[str, Dictionary], dictionaries).items())
        else:
            pairs = [(site_name(dictionary), dictionary) for dictionary in dictionaries]
        for key, dictionary in pairs:
            if key in self._members:
                raise ConfigError(f"two dictionaries of one set read {key}", hint="give a mapping with their names")
            if not _MEMBER.fullmatch(key):
                raise ConfigError(f"{key!r} cannot name a dictionary", hint="use letters, digits, and . _ - + =")
            self._members[key] = dictionary

    def __getitem__(self, key: str | Site) -> Dictionary:
        if isinstance(key, str):
            return self._members[key]
        found = self.reading(key)
        if not found:
            raise KeyError(key)
        if len(found) > 1:
            raise ConfigError(f"{len(found)} dictionaries read {key}", hint=f"name one of {', '.join(found)}")
        return next(iter(found.values()))

    def reading(self, site: Site) -> dict[str, Dictionary]:
        """The members that read a Site, by name."""
        return {name: dictionary for name, dictionary in self.items() if site in dictionary.reads}

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def __repr__(self) -> str:
        families = ", ".join(sorted({dictionary.family for dictionary in self.values()}))
        return f"DictionarySet({self.name or 'unnamed'}: {len(self)} x {families})"

    @property
    def layers(self) -> tuple[int, ...]:
        """The layers that have a dictionary."""
        reads = (site for dictionary in self.values() for site in dictionary.reads)
        return tuple(sorted({site.layer for site in reads if site.layer is not None}))

    def by_layer(self, layer: int) -> Dictionary:
        """The dictionary of a layer.

        Raises:
            ConfigError: none or several there.
        """
        found = [d for d in self.values() if any(site.layer == layer for site in d.reads)]
        if len(found) != 1:
            have = ", ".join(map(str, self.layers)) or "none"
            raise ConfigError(
                f"the set {self.name!r} has {len(found)} dictionaries at layer {layer}", hint=f"layers: {have}"
            )
        return found[0]

    def copy(self) -> "DictionarySet":
        """A set with weights of its own."""
        return self._map(copy.deepcopy, self.name)

    def affine_only(self) -> "DictionarySet":
        """Control: the same affine paths without any feature (the constant b_dec where there is no skip).

        Raises:
            ConfigError: a member is not a coder.
        """
        return self._map(_without_features, f"{self.name} (affine only)")

    def shuffled_decoder(self, seed: int) -> "DictionarySet":
        """Control: features keep what they read and write what another feature of the layer wrote."""

        def shuffle(dictionary: Dictionary) -> Dictionary:
            shuffled = copy.deepcopy(_coder(dictionary))
            draw = generator(seed, "shuffled decoder", str(dictionary.reads[0]))
            order = torch.randperm(shuffled.width, generator=draw).to(shuffled.device)
            with torch.no_grad():
                shuffled.W_dec.copy_(shuffled.W_dec[order])
            return shuffled

        return self._map(shuffle, f"{self.name} (shuffled decoder)")

    def _map(self, function: Callable[[Dictionary], Dictionary], name: str) -> "DictionarySet":
        made = {}
        for key, dictionary in self.items():
            made[key] = function(dictionary)
            made[key].name = f"{name}/{key}"
        return DictionarySet(made, name, self.manifest)

    def save(
        self, folder: Path, manifest: Manifest | None = None, fill: Callable[[Path], None] | None = None
    ) -> Artifact:
        """Write as one artifact with a subfolder per dictionary, each an artifact of its own.

        `fill` may put more into the folder before it is sealed.
        """
        folder = Path(folder)
        base = manifest or self.manifest or Manifest(kind=KIND)

        def write_members(staging: Path) -> None:
            for key, dictionary in self.items():
                dictionary.save(staging / key, base)
            if fill:
                fill(staging)

        details = {"members": list(self), "layers": list(self.layers)}
        changed = {"kind": KIND, "name": self.name or folder.name, "details": {**base.details, **details}}
        return write_artifact(folder, base.model_copy(update=changed), fill=write_members)


def load_dictionaries(folder: Path, device: str = "cpu", progress: Progress | None = None) -> DictionarySet:
    """Open what `DictionarySet.save` wrote, or a single dictionary as a set of one.

    Raises:
        ArtifactError: missing, damaged, newer, or of another kind. Interrupted: cancelled between two members.
    """
    folder = Path(folder)
    artifact = read_artifact(folder)
    if artifact.manifest.kind == "dictionary":
        return DictionarySet([load_dictionary(folder, device)], artifact.manifest.name, artifact.manifest)
    if artifact.manifest.kind != KIND:
        raise ArtifactError(f"wanted dictionaries at {folder}", found=f"found a {artifact.manifest.kind}")
    names = artifact.manifest.details.get("members", [])
    members = {}
    for name in names:
        if progress is not None and progress.cancelled():
            raise Interrupted("cancelled while the dictionaries were opened")
        members[name] = load_dictionary(folder / name, device)
    return DictionarySet(members, artifact.manifest.name, artifact.manifest)


def site_name(dictionary: Dictionary) -> str:
    """How a dictionary is called in a set by what it reads: `mlp_in.3`, or `mlp_in.0-5` for one that spans layers."""
    first, last = dictionary.reads[0], dictionary.reads[-1]
    return f"{first}-{last.layer}" if dictionary.spans_layers and first != last else str(first)


_MEMBER = re.compile(r"[A-Za-z0-9][\w.+=-]*")
"""Names of members name folders, too."""


def _coder(dictionary: Dictionary) -> Coder:
    if not isinstance(dictionary, Coder):
        raise ConfigError(f"{dictionary.family} has no decoder rows or affine path to take as a control")
    return dictionary


def _without_features(dictionary: Dictionary) -> Dictionary:
    coder = _coder(dictionary)
    read, write = coder.reads[0], coder.writes[0]
    weight = coder.W_skip
    if weight is None:
        weight = coder.W_dec.new_zeros(coder.sizes[write], coder.sizes[read])
    return AffineMap.of(weight.detach().clone(), coder.b_dec.detach().clone(), read, write)
