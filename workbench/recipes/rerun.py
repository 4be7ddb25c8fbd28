"""Run a report again from what it says of itself, and compare number by number."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from workbench.circuits import (
    PruneConfig,
    SumConfig,
    Target,
    TraceConfig,
    ValidateConfig,
    check_sums,
    prune,
    trace,
    validate as validate_graph,
)
from workbench.core import ArtifactError, CircuitGraph, Config, ConfigError, Interrupted, Progress, Result, Silent
from workbench.data import PackConfig, open_text, pack
from workbench.dictionaries import DictionarySet
from workbench.evaluation import EvaluateConfig, evaluate
from workbench.features import unit_effects
from workbench.models import HookedModel, load_model
from workbench.report import (
    AgreeConfig,
    Report,
    ReportConfig,
    Study,
    circuit_report,
    compare_reports,
    read_report,
    write_report,
)
from workbench.workspace import Workspace

from .circuits import Loader, model_of
from .demo import draw_sequences
from .dictionaries import find_dictionaries, load_controls
from .saved import find_evaluation, find_scan
from .study import feature_units, next_tokens

CONTROLS = ("affine only", "shuffled decoder")


@dataclass(frozen=True)
class Rerun:
    """The report that was read, the one made now, and the numbers of both side by side."""

    before: Report
    after: Report
    comparison: Result


def rerun_report(
    place: Workspace,
    path: Path,
    config: AgreeConfig | None = None,
    *,
    to: Path | None = None,
    evaluation: bool = True,
    device: str = "auto",
    offline: bool = False,
    progress: Progress | None = None,
    loader: Loader = load_model,
) -> Rerun:
    """Trace, prune, check, remove and evaluate again with the settings that a report.json records.

    The dictionaries come from the workspace by name and must have the recorded hash; the model is loaded by its id
    and must have the recorded weights.

    Args:
        path: a report.json, its folder, or the name of a report of the workspace.
        to: a folder for the new report. evaluation: off: held-out numbers are taken from the workspace, not made anew.

    Raises:
        ArtifactError: the file, the dictionaries or the weights are not those that were reported.
        ConfigError: a setting that is missing or that this version does not know.
    """
    known = path.exists() or len(path.parts) > 1
    progress, before = progress or Silent(), read_report(path if known else place.path_of("reports", str(path)))
    told = before.block("reproduce")
    if told is None or not told.dictionaries:
        raise ArtifactError(f"the report {path} does not say how it was made", hint="it has no reproduce block")
    members, folder = _dictionaries(place, told)
    model = model_of(members, device, offline, progress, loader)
    if told.model is not None and told.model.weight_hash != model.ref.weight_hash:
        found = f"recorded {told.model.weight_hash[:12]}, found {model.ref.weight_hash[:12]}"
        raise ArtifactError(f"the report was made with other weights of {told.model.id}", found)
    untrained = load_controls(folder).get("untrained")
    validated = before.block("validation") is not None and "validation" in told.settings
    main = _study(model, members, untrained, told.settings, told.token_ids, validated, progress)
    others = [
        Study(*_other(model, members, untrained, told.settings, row, progress))
        for row in (before.block("prompts").rows[1:] if before.block("prompts") else ())
        if row.token_ids
    ]
    graph, validation = main
    pruned = prune(graph, _settings(PruneConfig, told.settings.get("prune", {})))
    units, scan = feature_units(pruned), find_scan(place, members)
    sums = "sum_check" in (before.block("appendix").tables if before.block("appendix") else {})
    evaluated = _evaluation(place, before, told, model, members, folder, evaluation, offline, progress)
    nodes = before.block("nodes")
    windows = max((len(node.contexts) for node in nodes.nodes), default=0) if nodes else 0
    after = circuit_report(
        pruned,
        validation,
        evaluated,
        scan.contexts(units, model.tokenizer.strings, max(windows, 1)) if scan and windows else None,
        unit_effects(model, members, units),
        next_tokens(model, torch.tensor(graph.token_ids)),
        check_sums(model, members, graph, _settings(SumConfig, told.settings.get("sum_check", {}))) if sums else None,
        full=graph,
        controls=_controls(before, model, members, told.settings, told.token_ids, told.seeds.get("train", 0), progress),
        others=others,
        dictionaries=members.manifest,
        config=_words(before),
    )
    if to is not None:
        write_report(after, to, ("html", "json"))
    return Rerun(before, after, compare_reports(before, after, config))


def _dictionaries(place: Workspace, told: Any) -> tuple[DictionarySet, Path]:
    used = told.dictionaries[0]
    members, folder = find_dictionaries(place, used.name)
    found = members.manifest.content_hash if members.manifest else ""
    if used.content_hash and used.content_hash != found:
        raise ArtifactError(
            f"the dictionaries {used.name!r} of this workspace are not those of the report",
            f"recorded {used.content_hash[:12]}, found {found[:12]}",
            "name the workspace that holds them",
        )
    return members, folder


def _settings(kind: type[Config], values: dict[str, Any]) -> Any:
    """Settings out of what a report records beside them."""
    return kind.parse({key: value for key, value in values.items() if key in kind.model_fields}, "the report")


def _target(settings: dict[str, Any]) -> Target:
    if "target" not in settings.get("trace", {}):
        raise ConfigError("the report does not record its target")
    return Target.parse(settings["trace"]["target"], "the report")


def _study(
    model: HookedModel,
    members: DictionarySet,
    untrained: DictionarySet | None,
    settings: dict[str, Any],
    ids: tuple[int, ...],
    validated: bool,
    progress: Progress,
) -> tuple[CircuitGraph, Result | None]:
    tokens = torch.tensor(ids)
    graph = trace(model, members, tokens, _target(settings), _settings(TraceConfig, settings["trace"]), progress)
    _stop_if_cancelled(progress)
    if not validated:
        return graph, None
    config = _settings(ValidateConfig, settings["validation"])
    return graph, validate_graph(model, members, graph, config, untrained, progress)


def _other(
    model: HookedModel,
    members: DictionarySet,
    untrained: DictionarySet | None,
    settings: dict[str, Any],
    row: Any,
    progress: Progress,
) -> tuple[CircuitGraph, Result]:
    """A further prompt as the first study did it: effects and group removals, no edges."""
    _stop_if_cancelled(progress)
    config = _settings(TraceConfig, {**settings["trace"], "influence": False})
    target = Target.parse(row.target, "the report")
    graph = trace(model, members, torch.tensor(row.token_ids), target, config, progress)
    groups = _settings(ValidateConfig, {**settings["validation"], "singles": 0, "exact": 0})
    return graph, validate_graph(model, members, graph, groups, untrained, progress)


def _controls(
    before: Report,
    model: HookedModel,
    members: DictionarySet,
    settings: dict[str, Any],
    ids: tuple[int, ...],
    seed: int,
    progress: Progress,
) -> dict[str, dict[str, float]]:
    pictured, found = before.block("graph"), {}
    wanted = [row.set for row in pictured.scores if row.set in CONTROLS] if pictured else []
    for name in wanted:
        _stop_if_cancelled(progress)
        control = members.affine_only() if name == "affine only" else members.shuffled_decoder(seed)
        config = _settings(TraceConfig, settings["trace"])
        found[name] = trace(model, control, torch.tensor(ids), _target(settings), config, progress).scores
    return found


def _evaluation(
    place: Workspace,
    before: Report,
    told: Any,
    model: HookedModel,
    members: DictionarySet,
    folder: Path,
    again: bool,
    offline: bool,
    progress: Progress,
) -> Result | None:
    """The held-out numbers, made anew from the sequences that the report names."""
    if before.block("evaluation") is None:
        return None
    recorded = told.settings.get("evaluation", {})
    if not again or told.text is None or not recorded.get("heldout_sequences"):
        return find_evaluation(place, members)
    _stop_if_cancelled(progress)
    packed = pack(
        open_text(told.text.id, offline=offline, progress=progress), model.tokenizer,
        PackConfig(sequence_length=told.text.sequence_length), model.policy,
    )  # fmt: skip
    text = draw_sequences(packed.split("heldout"), recorded["heldout_sequences"], recorded.get("draw_seed", 0))
    controls = {name: one for name, one in load_controls(folder).items() if name in recorded.get("controls", ())}
    return evaluate(model, members, text, _settings(EvaluateConfig, recorded), controls, progress)


def _words(before: Report) -> ReportConfig:
    """The author's words, as they were."""
    header, told, limits = before.block("header"), before.block("reproduce"), before.block("limits")
    groups, appendix = before.block("groups"), before.block("appendix")
    recorded = _settings(ReportConfig, told.settings.get("report", {}))
    return recorded.model_copy(
        update={
            "title": header.title if header else "",
            "author": header.author if header else "",
            "confidence": header.confidence if header else "",
            "notes": limits.author_notes if limits else "",
            "device": told.device,
            "command": told.command,
            "python": told.python,
            "groups": groups.groups if groups else (),
            "licences": appendix.licences if appendix else (),
        }
    )


def _stop_if_cancelled(progress: Progress) -> None:
    if progress.cancelled():
        raise Interrupted("stopped before every number was there; nothing was written")
