"""Probe a model by name: labelled texts in, a judged probe at every site out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from workbench.core import ConfigError, Edit, Progress, Result, Silent, Site, generator
from workbench.data import PackConfig, open_labelled, open_text, pack
from workbench.dictionaries import Dictionary
from workbench.evaluation import written_rows
from workbench.models import HookedModel, TokenBatch, load_model
from workbench.workspace import Workspace
from workbench_probes import Examples, FittedProbe, ProbeConfig, nearest_features, probe_sites, read_probe

from .circuits import Loader
from .dictionaries import find_dictionaries
from .probe_config import SideEffectsConfig, TextRowsConfig
from .text_rows import parse_sites, text_rows

Array = np.ndarray


@dataclass(frozen=True)
class Probed:
    """What `probe_by_name` found: the probes and, where asked for, the side effects of steering with the best one."""

    probes: Result
    side_effects: Result | None = None


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
    steer: SideEffectsConfig | None = None,
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
    With `steer`, `results/<name>-steering` holds what adding the direction does to ordinary text.

    Raises:
        ConfigError, TextError, SiteError: see `open_labelled`, `probe_sites`, `parse_sites`.
    """
    progress, rows = progress or Silent(), rows or TextRowsConfig()
    table = open_labelled(data, regression=regression, offline=offline, progress=progress).take(rows.texts, rows.seed)
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
    effects = None
    if steer is not None and not result.partial and (config is None or config.method != "sparse" or members is None):
        probe = read_probe(result)
        corpus = open_text(text, offline=offline, progress=progress)
        windows = PackConfig(sequence_length=min(128, subject.shape.n_ctx), max_sequences=4 * steer.sequences)
        packed = pack(corpus, subject.tokenizer, windows, subject.policy)
        part = packed.take(torch.arange(0, len(packed), max(1, len(packed) // steer.sequences))[: steer.sequences])
        effects = side_effects(subject, probe, read.rows[probe.site], part, steer, progress)
        effects.save(place.path_of("results", f"{name}-steering"))
    return Probed(result, effects)


@torch.no_grad()
def side_effects(
    model: HookedModel,
    probe: FittedProbe,
    rows: Float[Array, "n d"],
    text: Any,
    config: SideEffectsConfig | None = None,
    progress: Progress | None = None,
) -> Result:
    """What adding a probe's direction does to ordinary text, beside random directions of the same length.

    Strengths are in standard deviations of `rows` along the direction; the same length is added at every counted
    position. Table `steering`: towards, direction, strength, length, kl (nats a token from the unsteered model),
    loss and loss_change (nats a token), perplexity.
    """
    config, progress = config or SideEffectsConfig(), progress or Silent()
    names = probe.classes[1:] if len(probe.classes) == 2 else probe.classes or ("number",)
    width = probe.weight.shape[1]
    drawn = torch.randn(config.random, width, generator=generator(config.seed, "random directions"))
    directions = [(name, "probe", probe.direction(name if probe.classes else None)) for name in names]
    directions += [("", f"random {i + 1}", row / row.norm()) for i, row in enumerate(drawn)]
    sigma = {name: float((rows @ direction.numpy()).std()) for name, _, direction in directions if name}
    length = float(np.mean(list(sigma.values())))
    progress.phase("side effects", total=len(directions) * len(config.strengths), unit="runs")
    rows_out: list[dict[str, Any]] = []
    for name, kind, direction in directions:
        for strength in config.strengths:
            added = strength * sigma.get(name, length)
            found = _effect(model, probe.site, direction * added, text, config)
            rows_out.append({"towards": name, "direction": kind, "strength": strength, "length": abs(added), **found})
            progress.advance()
    return Result(
        kind="probe steering",
        tables={"steering": rows_out},
        params={**config.model_dump(mode="json"), "site": str(probe.site), "text": text.ref.id},
        notes=(
            f"{len(text)} sequences of {text.ref.id}; added at every position that counts; random directions have "
            "the mean length of the probe's.",
        ),
        seed=config.seed,
    )


def _effect(
    model: HookedModel, site: Site, vector: torch.Tensor, text: Any, config: SideEffectsConfig
) -> dict[str, float]:
    totals = np.zeros(4)
    special = tuple(model.tokenizer.special_ids)
    for start in range(0, len(text), config.batch_sequences):
        part = text.take(torch.arange(start, min(start + config.batch_sequences, len(text))))
        batch = TokenBatch(part.ids.long(), part.lengths.long())
        mask = part.mask(model.policy, special)
        plain = model.run(batch).logits
        steered = model.run(batch, [Edit(site, "add", vector.to(model.device), mask)]).logits
        assert plain is not None
        assert steered is not None
        kept = mask[:, :-1] & mask[:, 1:]
        before, after = (logits[:, :-1][kept].float().log_softmax(-1) for logits in (plain, steered))
        following = batch.ids[:, 1:][kept][:, None].to(before.device)
        kl = (before.exp() * (before - after)).sum(-1)
        losses = [-logs.gather(1, following).sum() for logs in (before, after)]
        totals += np.array([float(kl.sum()), *(float(loss) for loss in losses), float(kept.sum())])
    kl, before_loss, after_loss = totals[:3] / totals[3]
    return {
        "kl": kl,
        "loss": after_loss,
        "loss_change": after_loss - before_loss,
        "perplexity": float(np.exp(after_loss)),
    }


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
