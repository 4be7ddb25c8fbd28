"""Probe a model by name: labelled texts in, a judged probe at every site out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from workbench.core import ConfigError, Progress, Result, Silent, Site
from workbench.data import LabelledTexts, PackConfig, open_labelled, open_text, pack
from workbench.dictionaries import Dictionary
from workbench.evaluation import written_rows
from workbench.models import load_model
from workbench.workspace import Workspace
from workbench_probes import Examples, ProbeConfig, nearest_features, probe_sites, read_probe

from .circuits import Loader
from .dictionaries import find_dictionaries
from .probe_config import ProbeSteeringConfig, TextRowsConfig
from .probe_steering import steer_by_probe
from .text_rows import parse_sites, text_rows

Array = np.ndarray


@dataclass(frozen=True)
class Probed:
    """What `probe_by_name` found: the probes and, where asked for, what steering by the best one does."""

    probes: Result
    steering: Result | None = None


def probe_by_name(
    place: Workspace,
    data: str,
    sites: Sequence[str],
    config: ProbeConfig | None = None,
    rows: TextRowsConfig | None = None,
    *,
    name: str = "probe",
    model: str,
    dictionaries: str | None = None,
    regression: bool | None = None,
    steer: ProbeSteeringConfig | None = None,
    text: str = "wikipedia-sample",
    device: str = "auto",
    dtype: str = "float32",
    offline: bool = False,
    loader: Loader = load_model,
    progress: Progress | None = None,
) -> Probed:
    """Probe labelled texts (a built-in set or a table file) at sites; saved as `results/<name>`.

    With `dictionaries`, probes read the features of that set at the sites it reads (where a sparse probe makes most
    sense), and the table `features` names those nearest to the best probe's direction when plain sites are read.
    With `steer`, `results/<name>-steering` holds what adding the direction does to the texts (to those that the probe
    never saw, where `rows.texts` leaves enough of them) and to ordinary text.

    Raises:
        ConfigError, TextError, SiteError: see `open_labelled`, `probe_sites`, `parse_sites`.
    """
    progress, rows = progress or Silent(), rows or TextRowsConfig()
    every = open_labelled(data, regression=regression, offline=offline, progress=progress)
    table = every.take(rows.texts, rows.seed)
    subject = loader(model, device=device, dtype=dtype, offline=offline, progress=progress)
    wanted = parse_sites(sites, subject)
    read = text_rows(subject, table.texts, wanted, rows, progress)
    examples = Examples(table.targets, table.group, table.classes)
    members = find_dictionaries(place, dictionaries)[0] if dictionaries else None
    inputs: dict[Site, Array] = dict(read.rows)
    if members is not None and config is not None and config.method == "sparse":
        if rows.pool != "last":
            raise ConfigError("features are read at one token each", found=f"pool {rows.pool}", hint="pool last")
        inputs = {site: _codes(members[site], site, x) for site, x in read.rows.items() if members.reading(site)}
        if not inputs:
            raise ConfigError(f"{dictionaries} reads none of the sites", hint=f"it reads {', '.join(members)}")
    result = probe_sites(inputs, examples, config, types=read.types, baselines=read.baselines, progress=progress)
    result = replace(
        result,
        params={
            **result.params,
            "data": data,
            "source": table.source,
            "model": subject.ref.id,
            "pool": rows.pool,
            "dictionaries": dictionaries or "",
            "warnings": list(table.warnings()),
        },
        notes=(*result.notes, *table.warnings()),
    )
    if members is not None and inputs.keys() == read.rows.keys() and result.arrays:
        result.tables["features"] = _features(result, members)
    if not result.partial:
        result.save(place.path_of("results", name))
    steering = None
    if steer is not None and not result.partial and (config is None or config.method != "sparse" or members is None):
        probe = read_probe(result)
        corpus = open_text(text, offline=offline, progress=progress)
        windows = PackConfig(sequence_length=min(128, subject.shape.n_ctx), max_sequences=4 * steer.sequences)
        packed = pack(corpus, subject.tokenizer, windows, subject.policy)
        part = packed.take(torch.arange(0, len(packed), max(1, len(packed) // steer.sequences))[: steer.sequences])
        held = _unseen(every, table, steer.texts)
        steering = steer_by_probe(subject, probe, read.rows[probe.site], held or table, part, steer, progress)
        if held is None:
            steering = replace(steering, notes=(*steering.notes, "The probe was fitted on these labelled texts."))
        steering.save(place.path_of("results", f"{name}-steering"))
    return Probed(result, steering)


def _unseen(every: LabelledTexts, seen: LabelledTexts, count: int) -> LabelledTexts | None:
    """The texts that were not probed, if there are enough."""
    known = set(seen.texts)
    left = every.part(np.array([i for i, text in enumerate(every.texts) if text not in known], dtype=int))
    return left if len(left) >= count else None


@torch.no_grad()
def _codes(dictionary: Dictionary, site: Site, rows: Float[Array, "n d"]) -> Float[Array, "n f"]:
    if dictionary.reads != (site,):
        raise ConfigError(f"{dictionary.name} reads more than {site}", hint="take a dictionary of one site")
    return dictionary.encode({site: torch.from_numpy(rows)}).dense().float().cpu().numpy()


def _features(result: Result, members: Any) -> list[dict[str, Any]]:
    """Of every probed site that a dictionary writes, its features nearest to that probe's directions."""
    found: list[dict[str, Any]] = []
    for row in result.tables["probes"]:
        site = Site.parse(row["site"])
        for name, dictionary in members.items():
            if dictionary.writes == (site,):
                near = nearest_features(read_probe(result, site), written_rows(dictionary))
                found += [{"site": row["site"], "dictionary": name, **record} for record in near]
    return found
