"""Checkpoints on chunk borders: weights, optimiser state and counters, from which training goes on exactly."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from workbench.core import ArtifactError, Site, write_bytes, write_json
from workbench.dictionaries import Scale

from .feed import Feed

FOLDER = "checkpoints"
STATE = "state.json"


class Resumes(Protocol):
    """What a checkpoint asks of a learner; `counters` is JSON, and `go_on` takes it back."""

    @property
    def name(self) -> str: ...
    @property
    def module(self) -> Any: ...
    @property
    def optimiser(self) -> torch.optim.Optimizer: ...
    @property
    def feed(self) -> Feed: ...
    def counters(self) -> dict[str, Any]: ...
    def go_on(self, counters: dict[str, Any], /) -> None: ...


@dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint: the chunk at which to go on, and what the run was when it was written."""

    path: Path
    next_chunk: int
    state: dict[str, Any]


def save_checkpoint(folder: Path, next_chunk: int, learners: Sequence[Resumes], identity: dict[str, Any]) -> None:
    """Write a checkpoint, then remove the one before it; `state.json` comes last and makes it complete.

    Raises:
        ArtifactError: it cannot be written; the one before is kept.
    """
    path = folder / FOLDER / f"{next_chunk:08d}"
    for number, learner in enumerate(learners):
        write_bytes(path / f"{number:04d}.safetensors", save(_tensors(learner)))
    counters = [_counters(learner) for learner in learners]
    write_json(path / STATE, {"next_chunk": next_chunk, "identity": identity, "learners": counters})
    _remove_others(path)


def latest_checkpoint(folder: Path) -> Checkpoint | None:
    """The newest complete checkpoint of a run's folder.

    Raises:
        ArtifactError: its state cannot be read.
    """
    complete = sorted(path.parent for path in (folder / FOLDER).glob(f"*/{STATE}"))
    if not complete:
        return None
    try:
        state = json.loads((complete[-1] / STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArtifactError(
            f"cannot read the checkpoint {complete[-1]}",
            found=str(error),
            hint="remove it to start from the one before",
        ) from None
    return Checkpoint(complete[-1], state["next_chunk"], state)


def stored_feeds(checkpoint: Checkpoint) -> list[Feed]:
    """The units and limits that every learner of the checkpoint trained with."""
    feeds = []
    for number, counters in enumerate(checkpoint.state["learners"]):
        tensors = _load(checkpoint, number)
        scales = {Site.parse(site): Scale(tensors[f"mean/{site}"], factor) for site, factor in counters["factors"]}
        feeds.append(Feed(scales, {Site.parse(site): limit for site, limit in counters["limits"]}))
    return feeds


def restore(checkpoint: Checkpoint, learners: Sequence[Resumes]) -> None:
    """Put every learner where it was when the checkpoint was written, bit for bit."""
    for number, learner in enumerate(learners):
        tensors, counters = _load(checkpoint, number), checkpoint.state["learners"][number]
        with torch.no_grad():
            for name, target in _held(learner).items():
                target.copy_(tensors[name])
        for name, parameter in learner.module.named_parameters():
            prefix = f"optimiser/{name}/"
            found = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
            if found:
                learner.optimiser.state[parameter] = {
                    key: value.to(parameter.device) if key == "step" else _like(parameter, value)
                    for key, value in found.items()
                }
        learner.go_on(counters)


def _tensors(learner: Resumes) -> dict[str, Tensor]:
    tensors = _held(learner)
    for name, parameter in learner.module.named_parameters():
        for key, value in learner.optimiser.state.get(parameter, {}).items():
            tensors[f"optimiser/{name}/{key}"] = value
    for site, scale in learner.feed.scales.items():
        tensors[f"mean/{site}"] = scale.mean
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def _like(parameter: Tensor, value: Tensor) -> Tensor:
    """An average in the memory layout of its parameter, which the fused optimisers count on."""
    return torch.empty_like(parameter).copy_(value) if value.shape == parameter.shape else value.to(parameter)


def _held(learner: Resumes) -> dict[str, Tensor]:
    named = [("parameter", learner.module.named_parameters()), ("buffer", learner.module.named_buffers())]
    return {f"{kind}/{name}": tensor for kind, pairs in named for name, tensor in pairs}


def _counters(learner: Resumes) -> dict[str, Any]:
    return {
        "name": learner.name,
        **learner.counters(),
        "factors": [[str(site), scale.factor] for site, scale in learner.feed.scales.items()],
        "limits": [[str(site), limit] for site, limit in learner.feed.limits.items()],
    }


def _load(checkpoint: Checkpoint, number: int) -> dict[str, Tensor]:
    path = checkpoint.path / f"{number:04d}.safetensors"
    try:
        return load_file(path)
    except (OSError, SafetensorError, ValueError) as error:
        raise ArtifactError(
            f"cannot read the checkpoint {path}", found=str(error), hint="remove the run's folder and train anew"
        ) from None


def _remove_others(path: Path) -> None:
    for other in path.parent.iterdir():
        if other != path:
            shutil.rmtree(other, ignore_errors=True)
