"""Judge the dictionaries of a workspace side by side, by name."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from workbench.core import ConfigError, Progress, Result, Silent, Site
from workbench.data import PackConfig, PackedText, open_text, pack
from workbench.dictionaries import Dictionary, DictionarySet, site_name
from workbench.evaluation import (
    AbsorptionConfig,
    EvaluateConfig,
    Judged,
    ProbingConfig,
    evaluate_sets,
    first_letter_absorption,
    neurons_at,
    probe_text,
    side_by_side,
    stability,
    written_rows,
)
from workbench.models import HookedModel, load_model
from workbench.workspace import Workspace

from .dictionaries import find_dictionaries, load_controls

ALSO = ("probing", "absorption", "stability")
"""What can be measured beyond reconstruction and splicing."""


@dataclass
class Judgement:
    """What `judge_by_name` found.

    Attributes:
        comparison: every set, every control and the neurons in one table.
        evaluations: name -> the whole evaluation of a set.
        more: probing, absorption, stability, as far as they were asked for; a row names its set and Site.
    """

    comparison: Result
    evaluations: dict[str, Result]
    more: dict[str, Result] = field(default_factory=dict)


def judge_by_name(
    place: Workspace,
    names: Sequence[str],
    text: str,
    config: EvaluateConfig,
    pack_config: PackConfig | None = None,
    *,
    model: str | None = None,
    device: str = "auto",
    offline: bool = False,
    neurons: bool = True,
    also: Sequence[str] = (),
    progress: Progress | None = None,
) -> Judgement:
    """Evaluate sets of one model on the held-out split of a text, with plain neurons at the same L0 beside them.

    Each evaluation is saved as `results/<name>-evaluation`, the rest as `results/<first name>-<kind>`.

    Raises:
        ConfigError: no set says which model it belongs to and none is given, or `also` names something unknown.
    """
    progress = progress or Silent()
    unknown = [what for what in also if what not in ALSO]
    if unknown:
        raise ConfigError(f"cannot measure {unknown[0]!r}", hint=f"there are {', '.join(ALSO)}")
    sets = {name: find_dictionaries(place, name) for name in names}
    subject = load_model(_model_of(sets[names[0]][0], model), device=device, offline=offline, progress=progress)
    packed = pack(open_text(text, offline=offline), subject.tokenizer, pack_config or PackConfig(), subject.policy)
    heldout = packed.split("heldout")
    parts = {}
    for name, (dictionaries, folder) in sets.items():
        parts |= _apart(name, dictionaries, load_controls(folder))
    evaluations = evaluate_sets(subject, parts, heldout, config, progress)
    for label, result in evaluations.items():
        result.save(place.path_of("results", f"{label}-evaluation"))
    judged = {label: dictionaries for label, (dictionaries, _) in parts.items()}
    plain = _neurons(subject, evaluations, packed.split("train"), heldout, config, progress) if neurons else {}
    more = {kind: _measure(kind, subject, judged, heldout, config, progress) for kind in dict.fromkeys(also)}
    judgement = Judgement(side_by_side({**evaluations, **plain}), evaluations, more)
    for kind, result in {"comparison": judgement.comparison, **more}.items():
        result.save(place.path_of("results", f"{names[0]}-{kind}"))
    return judgement


def _apart(name: str, dictionaries: DictionarySet, controls: Mapping[str, DictionarySet]) -> dict[str, Judged]:
    """The set as it is, or, where members write one Site (a sweep), as one set for each kind that was swept.

    The kinds are told by what `new_set` puts behind a member's Site; a kind of one member is called by the whole name.
    """
    if _one_writer_each(dictionaries.values()):
        return {name: (dictionaries, controls)}
    kinds: dict[str, list[str]] = {}
    for member, dictionary in dictionaries.items():
        site = site_name(dictionary)
        kind = member.removeprefix(site).removeprefix("-") if member.startswith(site) else member
        kinds.setdefault(kind, []).append(member)
    found: dict[str, Judged] = {}
    for kind, members in kinds.items():
        whole = len(members) > 1 and kind and _one_writer_each(dictionaries[member] for member in members)
        for label, chosen in [(kind, members)] if whole else [(member, [member]) for member in members]:
            beside = {control: _only(held, chosen, label) for control, held in controls.items()}
            found[f"{name}:{label}"] = (
                _only(dictionaries, chosen, label),
                {control: part for control, part in beside.items() if part},
            )
    return found


def _one_writer_each(dictionaries: Iterable[Dictionary]) -> bool:
    """Whether no two of them write the same Site, so that they can stand in the model together."""
    written = [site for dictionary in dictionaries for site in dictionary.writes]
    return len(set(written)) == len(written)


def _only(dictionaries: DictionarySet, members: Iterable[str], label: str) -> DictionarySet:
    chosen = {member: dictionaries[member] for member in members if member in dictionaries}
    return DictionarySet(chosen, f"{dictionaries.name}:{label}", dictionaries.manifest)


def _model_of(dictionaries: DictionarySet, named: str | None) -> str:
    reference = dictionaries.manifest.model if dictionaries.manifest else None
    if named is None and reference is None:
        raise ConfigError(f"{dictionaries.name} does not say which model it belongs to", hint="name it with --model")
    return named or (reference.id if reference else "")


def _neurons(
    model: HookedModel,
    evaluations: Mapping[str, Result],
    fitted_on: PackedText,
    text: PackedText,
    config: EvaluateConfig,
    progress: Progress,
) -> dict[str, Result]:
    """One evaluation of plain neurons for every distinct L0 and Sites among the sets."""
    found: dict[str, Judged] = {}
    seen: list[dict[Site, int]] = []
    for name, result in evaluations.items():
        for sites in _matched(result.tables["layers"], model.shape.sandwich):
            if sites in seen:
                continue
            seen.append(sites)
            label = f"neurons at the L0 of {name}"
            members = neurons_at(model, sites, fitted_on, name=label)
            label = label if label not in found else f"{label} ({', '.join(map(str, sites.values()))})"
            found[label] = (members, {})
    return evaluate_sets(model, found, text, config, progress) if found else {}


def _matched(layers: Sequence[Mapping[str, Any]], sandwich: bool) -> list[dict[Site, int]]:
    """Sites with the L0 of their dictionaries, each Site once in a group; no MLP output behind a norm."""
    groups: list[dict[Site, int]] = []
    for row in layers:
        site, k = Site.parse(row["site"]), max(1, round(row["l0"]))
        if not row["width"] or (sandwich and site.kind == "mlp_out") or any(g.get(site) == k for g in groups):
            continue
        group = next((group for group in groups if site not in group), None)
        if group is None:
            groups.append(group := {})
        group[site] = k
    return groups


def _measure(
    kind: str,
    model: HookedModel,
    sets: Mapping[str, DictionarySet],
    text: PackedText,
    config: EvaluateConfig,
    progress: Progress,
) -> Result:
    if kind == "stability":
        return _stability(sets, config.seed)
    settings = config.model_dump()
    found: dict[tuple[str, str], Result] = {}
    for name, dictionaries in sets.items():
        for member, dictionary in dictionaries.items():
            if kind == "probing":
                found[name, member] = probe_text(model, dictionary, text, ProbingConfig(**settings), progress)
            elif dictionary.reads == dictionary.writes:
                found[name, member] = first_letter_absorption(model, dictionary, AbsorptionConfig(**settings), progress)
    if not found:
        raise ConfigError(
            "no dictionary of these sets writes where it reads", hint="absorption is measured on autoencoders"
        )
    return _gathered(found)


def _stability(sets: Mapping[str, DictionarySet], seed: int) -> Result:
    """Every pair of dictionaries, of one set or of two, that write the same Sites."""
    alike: dict[tuple[Site, ...], dict[str, Dictionary]] = {}
    for name, dictionaries in sets.items():
        for member, dictionary in dictionaries.items():
            label = name if len(dictionaries) == 1 else f"{name}/{member}"
            alike.setdefault(dictionary.writes, {})[label] = dictionary
    found = {
        ("", " ".join(map(str, sites))): stability({n: written_rows(d) for n, d in members.items()}, seed=seed)
        for sites, members in alike.items()
        if len(members) > 1
    }
    if not found:
        raise ConfigError("stability compares dictionaries that write the same site", hint="train with two seeds")
    return _gathered(found)


def _gathered(results: Mapping[tuple[str, str], Result]) -> Result:
    """Results of one kind as one: rows say which set and dictionary they are of, scalars are means."""
    first = next(iter(results.values()))
    tables: dict[str, list] = {}
    for (name, member), result in results.items():
        where = ({"set": name} if name else {}) | {"dictionary": member}
        for table, rows in result.tables.items():
            tables.setdefault(table, []).extend(where | row for row in rows)
    keys = dict.fromkeys(key for result in results.values() for key in result.scalars)
    values = {key: [result.scalars[key] for result in results.values() if key in result.scalars] for key in keys}
    return Result(
        kind=first.kind,
        scalars={key: sum(found) / len(found) for key, found in values.items()},
        tables=tables,
        params=first.params,
        notes=first.notes,
        seed=first.seed,
    )
