"""Subnetwork: the weights of a model that are kept, as bits by canonical name; saved as packed bits."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from workbench.core import (
    Artifact,
    ArtifactError,
    Manifest,
    ModelRef,
    ShapeError,
    generator,
    read_artifact,
    write_artifact,
)
from workbench.models import HookedModel

KIND = "subnetwork"
_PLACE = re.compile(r"blocks\.(\d+)\.(attn|mlp)\.(W_\w+)")


@dataclass(frozen=True)
class Subnetwork:
    """Which entries of a model's matrices stay; what is not named stays whole.

    Attributes:
        masks: canonical name -> True where the weight stays, in the weight's canonical shape.
        details: how it was made.
    """

    masks: dict[str, Bool[Tensor, "*s"]]
    details: dict[str, Any] = field(default_factory=dict)
    model: ModelRef | None = None

    @property
    def kept(self) -> int:
        """Entries that stay."""
        return sum(int(mask.sum()) for mask in self.masks.values())

    @property
    def total(self) -> int:
        """Entries that could stay."""
        return sum(mask.numel() for mask in self.masks.values())

    @property
    def share(self) -> float:
        """Entries that stay, of all that could."""
        return self.kept / self.total

    def weights(self, model: HookedModel, base: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """The model with only these entries, for `run(weights=)`: every other one of the masked matrices is 0.

        Args:
            base: weights to start from instead of the model's own, by canonical name.

        Raises:
            ShapeError: a mask does not fit its weight.
        """
        return self._applied(model, base, keep=True)

    def without(self, model: HookedModel, base: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """The model with these entries removed: they are 0, every other one stays."""
        return self._applied(model, base, keep=False)

    def _applied(self, model: HookedModel, base: Mapping[str, Tensor] | None, keep: bool) -> dict[str, Tensor]:
        params, found = model.params() | dict(base or {}), dict(base or {})
        for name, mask in self.masks.items():
            weight = params[name]
            if weight.shape != mask.shape:
                raise ShapeError(f"the mask of {name} wants {tuple(weight.shape)}", f"found {tuple(mask.shape)}")
            stays = mask if keep else ~mask
            found[name] = torch.where(stays.to(weight.device), weight, torch.zeros((), dtype=weight.dtype))
        return found

    def random(self, seed: int) -> "Subnetwork":
        """As many entries drawn at random from every block (attention or MLP of one layer)."""
        masks: dict[str, Tensor] = {}
        for block, names in self.blocks().items():
            sizes = [self.masks[name].numel() for name in names]
            kept = sum(int(self.masks[name].sum()) for name in names)
            draw = generator(seed, "random masks", *block)
            flat = torch.zeros(sum(sizes), dtype=torch.bool)
            flat[torch.randperm(len(flat), generator=draw)[:kept]] = True
            for name, part in zip(names, flat.split(sizes), strict=True):
                masks[name] = part.view(self.masks[name].shape)
        return Subnetwork(masks, {"random": seed})

    def part(self, share: float, seed: int = 0) -> "Subnetwork":
        """A share of the entries of every block, drawn at random; a smaller share's are among those of a larger."""
        masks: dict[str, Tensor] = {}
        for block, names in self.blocks().items():
            flat = torch.cat([self.masks[name].reshape(-1) for name in names])
            kept = flat.nonzero()[:, 0]
            order = torch.randperm(len(kept), generator=generator(seed, "part", *block))
            flat[kept[order[round(share * len(kept)) :]]] = False
            for name, own in zip(names, flat.split([self.masks[name].numel() for name in names]), strict=True):
                masks[name] = own.view(self.masks[name].shape)
        return Subnetwork(masks, {"part": share, "seed": seed}, self.model)

    def blocks(self) -> dict[tuple[int, str], list[str]]:
        """(layer, attn or mlp) -> the names of its matrices."""
        found: dict[tuple[int, str], list[str]] = {}
        for name in self.masks:
            layer, part, _ = place(name)
            found.setdefault((layer, part), []).append(name)
        return found

    def table(self) -> list[dict[str, Any]]:
        """One row for each matrix: where it is, how many entries stay, and its share of all that stay."""
        kept = max(self.kept, 1)
        rows = []
        for name, mask in self.masks.items():
            layer, part, matrix = place(name)
            count = int(mask.sum())
            rows.append(
                {
                    "layer": layer,
                    "block": part,
                    "matrix": matrix,
                    "kept": count,
                    "entries": mask.numel(),
                    "density": count / mask.numel(),
                    "share": count / kept,
                }
            )
        return rows

    def save(self, folder: Path, name: str = "", config: Mapping[str, Any] | None = None) -> Artifact:
        """Write the bits, eight in a byte in row-major order of the canonical shape."""
        bits = {key: _packed(mask) for key, mask in self.masks.items()}
        shapes = {key: list(mask.shape) for key, mask in self.masks.items()}
        details = {"shapes": shapes, "kept": self.kept, "total": self.total, **self.details}
        manifest = Manifest(kind=KIND, name=name, model=self.model, config=dict(config or {}), details=details)
        return write_artifact(Path(folder), manifest, bits)

    @classmethod
    def load(cls, folder: Path) -> "Subnetwork":
        """Read what `save` wrote.

        Raises:
            ArtifactError: no such artifact, of another kind, or its bits do not fit the shapes it names.
        """
        artifact = read_artifact(Path(folder), KIND)
        details = dict(artifact.manifest.details)
        shapes, stored = details.pop("shapes", {}), artifact.tensors()
        if set(shapes) != set(stored):
            raise ArtifactError(f"the bits of {folder} do not fit its manifest")
        masks = {key: _unpacked(stored[key], tuple(shape), f"{folder}: {key}") for key, shape in shapes.items()}
        return cls(masks, details, artifact.manifest.model)


def place(name: str) -> tuple[int, str, str]:
    """(layer, attn or mlp, matrix) of a canonical name.

    Raises:
        ShapeError: it names no matrix of a block.
    """
    match = _PLACE.fullmatch(name)
    if match is None:
        raise ShapeError(f"masks are for matrices of attention and MLPs, found {name!r}")
    return int(match[1]), match[2], match[3]


def overlap(first: Subnetwork, second: Subnetwork) -> int:
    """Entries that both keep."""
    return sum(int((mask & second.masks[name]).sum()) for name, mask in first.masks.items())


def expected_overlap(first: Subnetwork, second: Subnetwork) -> float:
    """What a random mask with as many entries in every block as `first` shares with `second` on average."""
    total = 0.0
    for names in first.blocks().values():
        own = sum(int(first.masks[name].sum()) for name in names)
        other = sum(int(second.masks[name].sum()) for name in names)
        total += own * other / sum(first.masks[name].numel() for name in names)
    return total


def _packed(mask: Tensor) -> Tensor:
    return torch.from_numpy(np.packbits(mask.detach().cpu().contiguous().numpy().reshape(-1)))


def _unpacked(bits: Tensor, shape: tuple[int, ...], where: str) -> Tensor:
    size = int(np.prod(shape))
    if bits.dtype != torch.uint8 or bits.ndim != 1 or len(bits) != -(-size // 8):
        raise ArtifactError(f"{where} wants {-(-size // 8):,} bytes", found=f"{tuple(bits.shape)} of {bits.dtype}")
    found = np.unpackbits(bits.numpy(), count=size)
    return torch.from_numpy(found.astype(bool)).view(shape)
