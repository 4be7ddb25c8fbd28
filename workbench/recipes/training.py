"""Train dictionaries by name: one pass of the model, whatever the number of dictionaries."""

from collections.abc import Sequence
from typing import Any

import torch

from workbench.core import Progress, Silent, Site, SiteError
from workbench.data import PackConfig, PackedText
from workbench.dictionaries import Dictionary, DictionarySet, Wanted, new_set
from workbench.evaluation import EvaluateConfig, evaluate
from workbench.models import HookedModel, load_model
from workbench.store import ActivationStore, Rows, StoreRows, StreamRows, open_store
from workbench.training import Probe, TrainConfig, Trained, check_memory, fit
from workbench.workspace import Workspace

from .subject import open_subject

PROBE_SEQUENCES = 16
"""Held-out sequences on which the loss recovered is measured during training."""


def train_by_name(
    place: Workspace,
    name: str,
    wanted: Sequence[Wanted],
    train: TrainConfig,
    *,
    model: str,
    text: str,
    pack: PackConfig,
    layers: Sequence[int] | None = None,
    sites: Sequence[Site | str] = (),
    store: str | None = None,
    chunk_sequences: int = 128,
    passes: int = 1,
    device: str = "auto",
    dtype: str = "float32",
    offline: bool = False,
    progress: Progress | None = None,
) -> Trained:
    """Train every wanted kind at every layer (or at `sites`) into `dictionaries/<name>`; resumes where it stopped.

    Rows come from a store of the workspace, or are streamed over the training split of a text; then the loss
    recovered is measured on its held-out split as training goes on.

    Raises:
        ConfigError: unknown family, contradicting settings, or too little memory.
        SiteError: a layer or site that is not there.
    """
    progress, probe = progress or Silent(), None
    if store is not None:
        opened = open_store(place.path_of("stores", store))
        subject = load_model(
            model, device=device, dtype=dtype, offline=offline, policy=opened.policy, progress=progress
        )
        opened.check_compatible(subject)
        layers = _stored_layers(opened) if layers is None else layers
        planned = _planned(subject, wanted, layers, sites, name)
        # On a CPU the reader's thread would hold up the kernels' by more than reading takes.
        ahead = subject.device.type != "cpu"
        rows: Rows = StoreRows(opened, seed=train.seed, passes=passes, sites=_needed(planned), prefetch=ahead)
    else:
        subject, packed = open_subject(
            model, text, pack, device=device, dtype=dtype, offline=offline, progress=progress
        )
        planned = _planned(subject, wanted, layers, sites, name)
        rows = StreamRows(subject, packed.split("train"), _needed(planned), chunk_sequences, train.seed, passes)
        probe = loss_recovered(subject, packed.split("heldout"))
    check_memory(planned, rows)
    fresh = _fresh(subject, wanted, layers, sites, name)
    with place.lock(f"train-{name}"):
        return fit(fresh, rows, place.path_of("dictionaries", name), train, progress, probe)


def loss_recovered(model: HookedModel, text: PackedText, sequences: int = PROBE_SEQUENCES) -> Probe | None:
    """A probe for training: cross-entropy with a dictionary spliced in, and the share recovered against the mean.

    None where the text has no sequence.
    """
    if not len(text):
        return None
    sample = text.take(torch.arange(min(sequences, len(text))) * len(text) // min(sequences, len(text)))
    config = EvaluateConfig(zero_ablation=False, bootstrap=10)

    def probe(dictionary: Dictionary) -> dict[str, float]:
        found = evaluate(model, DictionarySet([dictionary]), sample, config).scalars
        return {"ce": found["ce_dictionary"], "loss_recovered": found["ce_recovered_against_mean"]}

    return probe


def _fresh(
    model: HookedModel, wanted: Sequence[Wanted], layers: Sequence[int] | None, sites: Sequence[Site | str], name: str
) -> DictionarySet:
    parsed = tuple(Site.parse(site) for site in sites)
    layers = range(model.shape.n_layers) if layers is None else layers
    for layer in [site.layer for site in parsed if site.layer is not None] or layers:
        if not 0 <= layer < model.shape.n_layers:
            raise SiteError(f"no layer {layer} in {model.ref.id}", f"its layers are 0 to {model.shape.n_layers - 1}")
    return new_set(wanted, model.shape.row_size, layers=layers, sites=parsed, name=name)


def _planned(*words: Any) -> DictionarySet:
    """The set without memory for its weights: whether there is enough is known before it is taken."""
    with torch.device("meta"):
        return _fresh(*words)


def _needed(dictionaries: DictionarySet) -> tuple[Site, ...]:
    return tuple(dict.fromkeys(site for dictionary in dictionaries.values() for site in dictionary.sizes))


def _stored_layers(store: ActivationStore) -> list[int]:
    return sorted({site.layer for site in store.sites if site.layer is not None})
