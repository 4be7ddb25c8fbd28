"""evaluate: dictionaries on held-out text, beside controls."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from workbench.core import ConfigError, Interrupted, Progress, Result, Silent, Site
from workbench.data import PackedText
from workbench.dictionaries import Dictionary, DictionarySet
from workbench.models import HookedModel

from .batches import batches
from .config import EvaluateConfig
from .definitions import reconstruction_notes, splice_notes
from .quality import DICTIONARY, Encoded, Quality
from .splice import ABLATIONS, Replacement, Splice

Judged = tuple[DictionarySet, Mapping[str, DictionarySet]]
"""A set and its controls by name."""


def evaluate(
    model: HookedModel,
    dictionaries: DictionarySet,
    text: PackedText,
    config: EvaluateConfig | None = None,
    controls: Mapping[str, DictionarySet] | None = None,
    progress: Progress | None = None,
) -> Result:
    """Reconstruction quality and loss under splicing, on text that was not trained on.

    `controls` (for example `affine`, `untrained`) are measured on the same rows; their columns and rows carry
    their names. Tables: `layers` (one row per dictionary and written Site) and `splice`.

    Raises:
        ConfigError: nothing to evaluate, or dictionaries of another model or mask.
        Interrupted: cancelled before the first batch was done.
    """
    found = evaluate_sets(model, {"": (dictionaries, controls or {})}, text, config, progress)
    return found[""]


def evaluate_sets(
    model: HookedModel,
    sets: Mapping[str, Judged],
    text: PackedText,
    config: EvaluateConfig | None = None,
    progress: Progress | None = None,
) -> dict[str, Result]:
    """Several sets with their controls, each as `evaluate` judges it, in one pass over the text.

    The model runs once on the text for all of them, once more alone, and once for every replacement that differs:
    members of a sweep share their mean, their zeros and their affine map.

    Raises:
        ConfigError, Interrupted: see `evaluate`.
    """
    config, progress = config or EvaluateConfig(), progress or Silent()
    for dictionaries, _ in sets.values():
        _check(model, dictionaries)
    documents = len(text.document_ids)
    qualities = {name: _qualities(*judged, documents, config) for name, judged in sets.items()}
    partial = _measure_quality(model, text, [each for found in qualities.values() for each in found], config, progress)
    splices: dict[str, list[dict[str, Any]]] = {name: [] for name in sets}
    if config.splice and not partial:
        replacements = {name: _replacements(*sets[name], _means(qualities[name]), config) for name in sets}
        splices, partial = _measure_splice(model, text, replacements, config, progress)
    return {
        name: _result(model, judged, text, config, qualities[name], splices[name], partial)
        for name, judged in sets.items()
    }


def _result(
    model: HookedModel,
    judged: Judged,
    text: PackedText,
    config: EvaluateConfig,
    qualities: Sequence[Quality],
    splice: list[dict[str, Any]],
    partial: bool,
) -> Result:
    dictionaries, controls = judged
    layers = [quality.record() for quality in qualities]
    return Result(
        kind="evaluation",
        scalars=_scalars(layers, splice, tuple(controls)),
        tables=_tables(layers, splice, qualities),
        params={**config.model_dump(mode="json"), "controls": sorted(controls), "mask": model.policy.describe()},
        inputs=_inputs(model, dictionaries, text),
        notes=_notes(model, text, config, layers, splice),
        seed=config.seed,
        partial=partial,
    )


def _means(qualities: Sequence[Quality]) -> dict[Site, torch.Tensor]:
    return {quality.site: quality.mean() for quality in qualities}


def _qualities(
    dictionaries: DictionarySet, controls: Mapping[str, DictionarySet], documents: int, config: EvaluateConfig
) -> list[Quality]:
    found = []
    for site, dictionary in dictionaries.items():
        beside = {name: control[site] for name, control in controls.items() if site in control}
        for written in dictionary.writes:
            found.append(Quality(written, {DICTIONARY: dictionary, **beside}, documents, config))
    return found


def _measure_quality(
    model: HookedModel, text: PackedText, qualities: Sequence[Quality], config: EvaluateConfig, progress: Progress
) -> bool:
    sites = sorted({site for quality in qualities for site in quality.judged.sizes})
    progress.phase("reconstruct", total=len(text), unit="sequences")
    for number, batch in enumerate(batches(model, text, config.batch_sequences)):
        if progress.cancelled():
            return _stopped(number)
        found = model.capture(batch.tokens, sites)
        mask = batch.mask.to(model.device)
        inputs = {site: x[mask].flatten(1).float() for site, x in found.items()}
        document = batch.document[:, None].expand(batch.mask.shape)[batch.mask]
        encoded: Encoded = {}
        for quality in qualities:
            quality.add(inputs, document, encoded)
        progress.advance(len(batch.document))
    return False


def _measure_splice(
    model: HookedModel,
    text: PackedText,
    replacements: Mapping[str, Sequence[Replacement]],
    config: EvaluateConfig,
    progress: Progress,
) -> tuple[dict[str, list[dict[str, Any]]], bool]:
    splice = Splice(model, [each for found in replacements.values() for each in found], len(text.document_ids), config)
    sequences = min(len(text), config.splice_sequences or len(text))
    progress.phase("splice", total=sequences, unit="sequences")
    for number, batch in enumerate(batches(model, text, config.batch_sequences, sequences)):
        if progress.cancelled():
            return {name: splice.records(found) if number else [] for name, found in replacements.items()}, True
        splice.add(batch)
        progress.advance(len(batch.document))
    return {name: splice.records(found) for name, found in replacements.items()}, False


def _replacements(
    dictionaries: DictionarySet,
    controls: Mapping[str, DictionarySet],
    means: Mapping[Site, torch.Tensor],
    config: EvaluateConfig,
) -> list[Replacement]:
    found = [
        Replacement(name, tuple(members.values()))
        for name, members in ((DICTIONARY, dictionaries), *controls.items())
        if len(members)
    ]
    if config.mean_ablation:
        found.append(Replacement("mean", values=means))
    if config.zero_ablation:
        zeros = {site: torch.zeros_like(mean) for site, mean in means.items()}
        found.append(Replacement("zero", values=zeros))
    if config.single_layers_every:
        chosen = list(dictionaries.values())[:: config.single_layers_every]
        found += [Replacement(DICTIONARY, (dictionary,), layer=_layer(dictionary)) for dictionary in chosen]
    return found


def _layer(dictionary: Dictionary) -> int:
    layer = dictionary.writes[0].layer if dictionary.writes else dictionary.reads[0].layer
    return -1 if layer is None else layer


def _tables(
    layers: list[dict[str, Any]], splice: list[dict[str, Any]], qualities: Sequence[Quality]
) -> dict[str, list[dict[str, Any]]]:
    tables = {"layers": layers, "splice": splice} if splice else {"layers": layers}
    return tables | {"density": [row for quality in qualities for row in quality.density()]}


def _scalars(
    layers: Sequence[dict[str, Any]], splice: Sequence[dict[str, Any]], controls: Sequence[str]
) -> dict[str, float]:
    def mean(key: str) -> float:
        values = [record[key] for record in layers if key in record]
        return sum(values) / len(values) if values else float("nan")

    measures = ["cosine", "mse", "shrinkage", "norm_ratio", "l0", "dead_share", "dense_share", "dropped_share"]
    keys = ["fvu", *(f"fvu_{name}" for name in controls), *measures]
    scalars = {f"{key}_mean": mean(key) for key in keys if any(key in record for record in layers)}
    whole = {record["variant"]: record for record in splice if record["layer"] is None}
    for name, record in whole.items():
        scalars[f"ce_{name}"] = record["ce"]
        if name != "model":
            scalars[f"kl_{name}"] = record["kl"]
    judged = whole.get(DICTIONARY, {})
    for key in ("ce_recovered", "kl_recovered"):
        for ablation in ABLATIONS:
            if f"{key}_{ablation}" in judged:
                scalars[f"{key}_against_{ablation}"] = judged[f"{key}_{ablation}"]
    return scalars


def _inputs(model: HookedModel, dictionaries: DictionarySet, text: PackedText) -> dict[str, str]:
    hashes = {"model": model.ref.weight_hash, "text": text.hash}
    if dictionaries.manifest is not None:
        hashes["dictionaries"] = dictionaries.manifest.content_hash
    return hashes


def _notes(
    model: HookedModel,
    text: PackedText,
    config: EvaluateConfig,
    layers: Sequence[dict[str, Any]],
    splice: Sequence[dict[str, Any]],
) -> tuple[str, ...]:
    rows = layers[0]["rows"] if layers else 0
    return (
        f"Text: {text.ref.id}, {text.ref.split} documents, {len(text)} sequences; mask: {model.policy.describe()}; "
        f"n = {rows} rows at the first site.",
        *reconstruction_notes(config),
        *(splice_notes(splice[0]["n"]) if splice else ()),
    )


def _check(model: HookedModel, dictionaries: DictionarySet) -> None:
    if not dictionaries:
        raise ConfigError("there is no dictionary to evaluate")
    written = [site for dictionary in dictionaries.values() for site in dictionary.writes]
    for site in written:
        if written.count(site) > 1:
            raise ConfigError(f"two dictionaries write {site}", hint="evaluate them one by one")
    manifest = dictionaries.manifest
    if manifest is None:
        return
    # An imported dictionary names its model and knows no hash.
    if manifest.model is not None and manifest.model.weight_hash not in ("", model.ref.weight_hash):
        raise ConfigError(
            f"{dictionaries.name} was trained on {manifest.model.id}",
            found=f"this is {model.ref.id} with other weights",
            hint="load the model that it was trained on",
        )
    if manifest.mask is not None and manifest.mask != model.policy:
        raise ConfigError(
            f"{dictionaries.name} was trained with the mask: {manifest.mask.describe()}",
            found=f"the model has: {model.policy.describe()}",
            hint="load the model with the same mask policy",
        )


def _stopped(done: int) -> bool:
    if not done:
        raise Interrupted("the evaluation was cancelled before anything was measured")
    return True
