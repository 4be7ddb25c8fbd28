"""Label the units of a workspace's dictionaries by name, and keep the labels where the app shows them."""

from dataclasses import replace
from typing import Any

import torch

from workbench.core import ConfigError, Progress, Result, Silent, Unit, nearest
from workbench.data import PackConfig, open_text, pack
from workbench.dictionaries import DictionarySet
from workbench.features import (
    Explainer,
    LabelConfig,
    ModelExplainer,
    ScanConfig,
    ServerExplainer,
    explain_units,
    firing,
    has_statistics,
    label_units,
    open_scan,
    promoted_tokens,
    scan,
)
from workbench.models import load_model
from workbench.workspace import AutomaticLabel, Database, Workspace

from .features import open_bench


def label_by_name(
    place: Workspace,
    name: str,
    member: str,
    config: LabelConfig | None = None,
    scan_config: ScanConfig | None = None,
    *,
    text: str = "wikipedia-sample",
    pack_config: PackConfig | None = None,
    explainer: str = "",
    model: str | None = None,
    device: str = "auto",
    dtype: str = "float32",
    offline: bool = False,
    progress: Progress | None = None,
) -> Result:
    """Label units of one member of a set by rules over tokens, or by an explaining model.

    The set's scan is read; without one the member alone is scanned over all of the text. Labels with their scores go
    to the workspace's database, the Result to `results/<name>-<member>-labels`.

    Args:
        explainer: "" for rules; else a model's name, or `http://...` for a server with OpenAI's chat interface.

    Raises:
        ConfigError: no such member, or no unit fires often enough.
    """
    config, progress = config or LabelConfig(), progress or Silent()
    opening: dict[str, Any] = {"model": model, "device": device, "dtype": dtype, "offline": offline}
    bench, found = open_bench(place, name, **opening, progress=progress)
    members = bench.dictionaries
    if member not in members:
        raise ConfigError(f"{name} has no member {member!r}", hint=nearest(member, members))
    if found is None:
        only = DictionarySet({member: members[member]}, members.name, members.manifest)
        path = place.path_of("stores", f"{name}-{member}-scan")
        fresh = path.is_dir() and has_statistics(path)
        wanted = members.manifest.content_hash if members.manifest else ""
        if fresh and open_scan(path).manifest.parents.get("dictionaries") == wanted:
            found = open_scan(path)
        else:
            corpus = open_text(text, offline=offline, progress=progress)
            packed = pack(corpus, bench.model.tokenizer, pack_config or PackConfig(), bench.model.policy)
            settings = scan_config or ScanConfig(sequences=400)
            count = min(settings.sequences, len(packed))
            spread = packed.take(torch.arange(count) * len(packed) // count)
            found = scan(bench.model, only, spread, path, settings, progress, bench.weights)
    strings, special = bench.model.tokenizer.strings, tuple(bench.model.tokenizer.special_ids)
    fires = firing(found, members, member, strings, config, special_ids=special)
    if explainer:
        result = explain_units(found, fires.units, _explainer(explainer, opening, progress), strings, config, progress)
    else:
        result = label_units(fires, config, progress)
        index = torch.tensor([unit.index for unit in fires.units[: len(result.tables["labels"])]])
        for row, promoted in zip(result.tables["labels"], promoted_tokens(bench, member, index, 5), strict=True):
            row["writes"] = promoted
    result = replace(
        result, params={**result.params, "set": name, "member": member, **found.source()}, inputs=found.inputs()
    )
    keep_labels(Database(place.path), result)
    result.save(place.path_of("results", f"{name}-{member}-labels"))
    return result


def keep_labels(database: Database, result: Result) -> None:
    """Write the labels of a Result of kind `labels` where people's labels are; those that say something."""
    keys = ("precision", "recall", "pmi", "detection", "fuzzing", "pattern", "rules", "writes", "count")
    made = []
    for row in result.tables["labels"]:
        score = row["f1"] if row["f1"] == row["f1"] else 0.0
        if not row["label"] or row.get("rules") == []:
            continue
        details = {key: row[key] for key in keys if key in row and row[key] == row[key]}
        made.append(AutomaticLabel(Unit.parse(row["unit"]), row["label"], result.params["source"], score, details))
    database.set_automatic_labels(made)


def _explainer(named: str, opening: dict[str, Any], progress: Progress) -> Explainer:
    if named.startswith(("http://", "https://")):
        return ServerExplainer(named)
    settings = {key: opening[key] for key in ("device", "dtype", "offline")}
    return ModelExplainer(load_model(named, **settings, progress=progress))
