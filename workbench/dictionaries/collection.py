"""DictionarySet: the dictionaries of one model, by the Site that each reads, kept as one artifact."""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import torch

from workbench.core import (
    Artifact,
    ArtifactError,
    Config,
    ConfigError,
    Manifest,
    Site,
    generator,
    get,
    read_artifact,
    write_artifact,
)

from .affine import AffineMap
from .base import Dictionary, load_dictionary
from .coder import Coder

KIND = "dictionary set"


class DictionarySet(Mapping[Site, Dictionary]):
    """Read-Site -> Dictionary, in the order in which a forward pass meets them.

    Attributes:
        name: what Units and reports call the set.
        manifest: where it came from; None for one made in memory.
    """

    def __init__(self, dictionaries: Iterable[Dictionary], name: str = "", manifest: Manifest | None = None) -> None:
        self.name, self.manifest = name, manifest
        self._by_site: dict[Site, Dictionary] = {}
        for dictionary in dictionaries:
            site = dictionary.reads[0]
            if site in self._by_site:
                raise ConfigError(f"two dictionaries of one set read {site}", hint="train them as two sets")
            self._by_site[site] = dictionary

    def __getitem__(self, site: Site) -> Dictionary:
        return self._by_site[site]

    def __iter__(self) -> Iterator[Site]:
        return iter(self._by_site)

    def __len__(self) -> int:
        return len(self._by_site)

    def __repr__(self) -> str:
        families = ", ".join(sorted({dictionary.family for dictionary in self.values()}))
        return f"DictionarySet({self.name or 'unnamed'}: {len(self)} x {families})"

    @property
    def layers(self) -> tuple[int, ...]:
        """The layers that have a dictionary."""
        return tuple(sorted({site.layer for site in self if site.layer is not None}))

    def by_layer(self, layer: int) -> Dictionary:
        """The dictionary of a layer.

        Raises:
            ConfigError: none or several there.
        """
        found = [dictionary for site, dictionary in self.items() if site.layer == layer]
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
        made = []
        for dictionary in self.values():
            new = function(dictionary)
            new.name = f"{name}/{dictionary.reads[0]}"
            made.append(new)
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
            for site, dictionary in self.items():
                dictionary.save(staging / str(site), base)
            if fill:
                fill(staging)

        details = {"members": [str(site) for site in self], "layers": list(self.layers)}
        changed = {"kind": KIND, "name": self.name or folder.name, "details": {**base.details, **details}}
        return write_artifact(folder, base.model_copy(update=changed), fill=write_members)


def dictionaries_for_layers(
    family: str, layers: Iterable[int], d_model: int, config: Config | None = None, name: str = ""
) -> DictionarySet:
    """One new dictionary of a family per layer, at the family's own Sites.

    Raises:
        ConfigError: unknown family or settings of another kind.
    """
    kind: type[Dictionary] = get("dictionary", family)
    made = []
    for layer in layers:
        reads, writes = kind.default_sites(layer)
        label = f"{name}/{reads[0]}" if name else str(reads[0])
        sizes = dict.fromkeys(reads, d_model), dict.fromkeys(writes, d_model)
        made.append(kind(config or kind.config_class(), *sizes, label))
    return DictionarySet(made, name)


def load_dictionaries(folder: Path, device: str = "cpu") -> DictionarySet:
    """Open what `DictionarySet.save` wrote, or a single dictionary as a set of one.

    Raises:
        ArtifactError: missing, damaged, newer, or of another kind.
    """
    folder = Path(folder)
    artifact = read_artifact(folder)
    if artifact.manifest.kind == "dictionary":
        return DictionarySet([load_dictionary(folder, device)], artifact.manifest.name, artifact.manifest)
    if artifact.manifest.kind != KIND:
        raise ArtifactError(f"wanted dictionaries at {folder}", found=f"found a {artifact.manifest.kind}")
    members = [load_dictionary(folder / member, device) for member in artifact.manifest.details.get("members", [])]
    return DictionarySet(members, artifact.manifest.name, artifact.manifest)


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
