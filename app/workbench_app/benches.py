"""What the pages about units stand on: benches, scans and what was computed of single units, kept by the server."""

from __future__ import annotations

import threading
from typing import Any

import streamlit as st

from workbench import core, features, recipes

from . import comfort, state
from .context import dictionary_entry
from .focus import focus

PASSES = ("run", "capture", "generate", "grads", "intervene")


class Turns:
    """A model whose passes take turns with those of everybody else on this server."""

    def __init__(self, model: Any, lock: threading.Lock) -> None:
        self._model, self._lock = model, lock

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._model, name)
        if name not in PASSES:
            return found

        def locked(*args: Any, **more: Any) -> Any:
            with self._lock:
                return found(*args, **more)

        return locked


def chosen_set() -> str | None:
    """The set in focus: neurons, dictionaries of the workspace, or None when there are none."""
    if focus().dictionary == recipes.NEURONS:
        return recipes.NEURONS
    entry = dictionary_entry()
    return entry.name if entry else None


def _hash(name: str) -> str:
    if name == recipes.NEURONS:
        return name
    manifest = state.workspace().open("dictionaries", name).manifest
    return manifest.content_hash


@st.cache_resource(max_entries=2, show_spinner="Opening the dictionaries …")
def _bench(workspace: str, model: str, name: str, content_hash: str, _held: Any) -> features.Bench:
    turns: Any = Turns(_held, state.shelf().lock)
    return recipes.bench_of(state.workspace(), name, turns)


def bench(model: str, name: str) -> features.Bench:
    """A set with the model that is loaded.

    Raises:
        ArtifactError: it belongs to other weights; both hashes are named.
    """
    held = state.shelf().get(model)
    found = _bench(str(state.workspace().path), model, name, _hash(name), held)
    if getattr(found.model, "_model", None) is not held:  # the model was unloaded and loaded again
        _bench.clear()
        return _bench(str(state.workspace().path), model, name, _hash(name), held)
    return found


def scan(found: features.Bench) -> features.FeatureScan | None:
    """The scan of a bench's dictionaries, if the workspace has one."""
    name = recipes.scan_name(found.dictionaries, found.model)
    path = state.workspace().path_of("stores", name)
    if not path.is_dir():
        return None
    stamp = path.joinpath("manifest.json").stat().st_mtime_ns
    return _scan(str(path), stamp, found)


@st.cache_resource(max_entries=2, show_spinner="Opening the scan …")
def _scan(path: str, stamp: int, _bench: features.Bench) -> features.FeatureScan | None:
    return recipes.scan_of(state.workspace(), _bench)


@st.cache_resource(max_entries=96, show_spinner="Looking at the unit …")
def part(
    kind: str, unit: str, made_from: str, context: int, _bench: features.Bench, _scan: features.FeatureScan | None
) -> Any:
    """One part of a unit's card, computed once: occurrences, effects, measured, similar or connections."""
    address = core.Unit.parse(unit)
    model = _bench.model
    if kind == "effects":
        return features.unit_effects(model, _bench.dictionaries, [address], 12)
    if kind == "similar":
        return features.similar_units(_bench, _scan, address)
    if kind == "connections":
        return features.connections(_bench, address, 20, _scan)
    assert _scan is not None
    if kind == "measured":
        return features.measured_effects(_bench, _scan, address)
    config = features.CardConfig(examples=10, context=context)
    return features.occurrences(_scan, address, model.tokenizer.strings, config)


def of_unit(kind: str, unit: core.Unit, found: features.Bench, scanned: features.FeatureScan | None) -> core.Result:
    """A part of a unit's card (see `part`)."""
    source = scanned.manifest.content_hash if scanned else found.model.ref.weight_hash
    context = comfort.chosen().context if kind == "occurrences" else 0
    return part(kind, str(unit), f"{state.workspace().path} {found.model.ref.id} {source}", context, found, scanned)


@st.cache_resource(max_entries=16, show_spinner=False)
def promoted(made_from: str, member: str, index: tuple[int, ...], _bench: features.Bench) -> list[str]:
    """The tokens that each unit of a page of the browser promotes, as one text each."""
    import torch

    try:
        found = features.promoted_tokens(_bench, member, torch.tensor(index))
    except core.ConfigError:
        return [""] * len(index)
    return [" ".join(token.strip() or repr(token) for token in row) for row in found]


@st.cache_resource(max_entries=24, show_spinner="Searching …")
def search(mode: str, query: str, made_from: str, _bench: features.Bench, _scan: Any, _labels: Any) -> core.Result:
    """A search that takes no longer than a page may."""
    if mode == "label":
        return features.search_labels(_labels, query)
    if mode == "text":
        return features.search_text(_bench, query, _scan)
    return features.search_token(_bench, query, _scan)


@st.cache_resource(max_entries=24, show_spinner="Encoding the prompt …")
def active(
    made_from: str, ids: tuple[int, ...], position: int, _bench: features.Bench, _scan: Any, rows: int = 50
) -> core.Result:
    """The units that are active at a position of a prompt."""
    import torch

    return features.active_units(_bench, torch.tensor(ids), position, _scan, rows)


@st.cache_resource(max_entries=12, show_spinner="Laying the units out …")
def unit_map(made_from: str, member: str, _bench: features.Bench, _scan: Any) -> core.Result:
    """The units of a member in the plane."""
    return features.unit_map(_bench, member, _scan)


@st.cache_resource(max_entries=12, show_spinner=False)
def _map_figure(id: str, colours: str, _result: core.Result) -> Any:
    from workbench.figures import recoloured

    return recoloured(_result.fig(), colours)


def map_figure(result: core.Result) -> Any:
    """The figure of a map."""
    return _map_figure(result.id, comfort.chosen().colours, result)
