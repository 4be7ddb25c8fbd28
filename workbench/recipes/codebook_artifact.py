"""Codebooks, and what fine-tuning changed in their model, as one artifact: written small, opened anywhere."""

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from workbench.core import Artifact, ArtifactError, Manifest, read_artifact, write_artifact
from workbench.dictionaries import DictionarySet, load_dictionaries
from workbench.models import HookedModel

WEIGHTS, RESULT = "weights", "result"
KIND = "weights"


def save_codebooks(
    books: DictionarySet,
    folder: Path,
    manifest: Manifest | None = None,
    weights: Mapping[str, Tensor] | None = None,
    base: Mapping[str, Tensor] | None = None,
    fill: Callable[[Path], None] | None = None,
) -> Artifact:
    """Write a set of codebooks as it is, and with it the model's trained weights by canonical name.

    Where `base` holds the weights that training started from, what is written is the difference in float16; else the
    weights themselves. Any door for dictionaries opens the folder; `load_codebooks` gives the weights, too.
    """

    def fill_all(staging: Path) -> None:
        if weights:
            changed, kind = {}, "difference" if base else "whole"
            for name, weight in weights.items():
                found = weight.detach().float() - (base[name].detach().float() if base else 0)
                changed[name] = found.half().contiguous()
            own = Manifest(kind=KIND, name=books.name, details={"holds": kind})
            write_artifact(staging / WEIGHTS, own, changed)
        if fill is not None:
            fill(staging)

    return books.save(folder, manifest, fill_all)


def load_codebooks(
    folder: Path, model: HookedModel | None = None, device: str = "cpu"
) -> tuple[DictionarySet, dict[str, Tensor]]:
    """The codebooks in float32, and the weights that `model.run(weights=)` takes with them (none: the model's own).

    Raises:
        ArtifactError: damaged, of another kind, or of another model; or the weights are a difference and no model is
            given.
    """
    books = load_dictionaries(folder, device)
    for book in books.values():
        book.float()
    ref = books.manifest.model if books.manifest else None
    if model is not None and ref is not None and ref.weight_hash not in ("", model.ref.weight_hash):
        raise ArtifactError(f"{folder} belongs to {ref.id}", found=f"this is {model.ref.id} with other weights")
    if not (Path(folder) / WEIGHTS).is_dir():
        return books, {}
    artifact = read_artifact(Path(folder) / WEIGHTS, KIND)
    found = {name: tensor.float() for name, tensor in artifact.tensors(device).items()}
    if artifact.manifest.details.get("holds") == "difference":
        if model is None:
            raise ArtifactError(f"{folder} holds the difference to a model", hint="give the model")
        base = model.params()
        found = {name: base[name].float() + change.to(base[name].device) for name, change in found.items()}
    return books, {name: tensor.to(model.dtype if model else torch.float32) for name, tensor in found.items()}
