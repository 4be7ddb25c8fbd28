"""Trace, validate and report by name: artifacts of a workspace in, artifacts of a workspace out."""

import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor

from workbench.circuits import (
    InterveneConfig,
    Intervention,
    Target,
    TraceConfig,
    ValidateConfig,
    intervene,
    prune,
    trace,
    validate,
)
from workbench.core import ArtifactError, CircuitGraph, ConfigError, Progress, Result, Silent
from workbench.dictionaries import DictionarySet
from workbench.features import unit_effects
from workbench.models import HookedModel, load_model
from workbench.report import ReportConfig, WordsConfig
from workbench.workspace import Workspace

from .dictionaries import find_dictionaries, load_controls
from .saved import find_evaluation, find_result, find_scan
from .study import Bench, Finding, feature_units, next_tokens, one_token, save_finding, write_finding

Loader = Callable[..., HookedModel]
"""`load_model`, or what takes its arguments and hands out a model that is held already, as the app does."""


def trace_by_name(
    place: Workspace,
    prompt: str,
    dictionaries: str,
    *,
    target: str | None = None,
    foil: str | None = None,
    name: str | None = None,
    config: TraceConfig | None = None,
    device: str = "auto",
    offline: bool = False,
    progress: Progress | None = None,
    loader: Loader = load_model,
) -> CircuitGraph:
    """Trace a prompt with a set of the workspace and save the graph."""
    if foil is not None and target is None:
        raise ConfigError("a foil needs a target", hint="add --target")
    members, _ = find_dictionaries(place, dictionaries, progress)
    model = model_of(members, device, offline, progress, loader)
    tokens = model.tokens(prompt).ids[0]
    graph = trace(model, members, tokens, make_target(model, target, foil, tokens), config, progress)
    return graph.save(place.path_of("graphs", name or slug(prompt)))


def validate_by_name(
    place: Workspace,
    name: str,
    config: ValidateConfig,
    device: str = "auto",
    offline: bool = False,
    progress: Progress | None = None,
    loader: Loader = load_model,
) -> Result:
    """Validate a graph of the workspace and save the Result beside it."""
    graph, model, members, folder = open_graph(place, name, device, offline, progress, loader)
    untrained = load_controls(folder).get("untrained")
    result = validate(model, members, graph, config, untrained, progress)
    result.save(place.path_of("results", f"{name}-validation"))
    return result


def intervene_by_name(
    place: Workspace,
    name: str,
    tests: Sequence[Intervention],
    config: InterveneConfig | None = None,
    other: str | None = None,
    device: str = "auto",
    offline: bool = False,
    progress: Progress | None = None,
    loader: Loader = load_model,
) -> Result:
    """Run tests on a graph of the workspace and save the Result beside it, as `results/<name>-test-<id>`.

    Args:
        other: the prompt from which a swap takes values.
    """
    graph, model, members, _ = open_graph(place, name, device, offline, progress, loader)
    tokens = model.tokens(other).ids[0] if other else None
    result = intervene(model, members, graph, tests, config, tokens, progress)
    result.save(place.path_of("results", f"{name}-test-{result.id}"))
    return result


def report_by_name(
    place: Workspace,
    name: str,
    formats: Sequence[str] = ("html", "json"),
    device: str = "auto",
    offline: bool = False,
    progress: Progress | None = None,
    loader: Loader = load_model,
    words: WordsConfig | None = None,
) -> list[Path]:
    """Write the report of a graph; what it still lacks (validation, contexts) is made first."""
    graph, model, members, folder = open_graph(place, name, device, offline, progress, loader)
    validation = find_result(place, f"{name}-validation", graph)
    if validation is None:
        validation = validate_by_name(place, name, ValidateConfig(), device, offline, progress, loader)
    pruned = prune(graph)
    units = feature_units(pruned)
    scan = find_scan(place, members)
    finding = Finding(
        name,
        graph,
        pruned,
        validation,
        sums=find_result(place, f"{name}-sums", graph),
        next_tokens=next_tokens(model, torch.tensor(graph.token_ids)),
        contexts=scan.contexts(units, model.tokenizer.strings) if scan else None,
        effects=unit_effects(model, members, units),
        control_scores=_control_scores(find_result(place, f"{name}-controls", graph)),
    )
    save_finding(finding, place)
    evaluation = find_evaluation(place, members)
    bench = Bench(model, members, load_controls(folder).get("untrained"), {}, scan, evaluation)
    said = (words or WordsConfig()).model_dump(exclude_defaults=True)
    flags = "".join(f" --{key} {shlex.quote(text)}" for key, text in said.items())
    config = ReportConfig(command=f"workbench circuit report {name}{flags}", device=str(model.device), **said)
    return list(write_finding(finding, bench, place, config, formats=formats).values())


def open_graph(
    place: Workspace, name: str, device: str, offline: bool, progress: Progress | None, loader: Loader = load_model
) -> tuple[CircuitGraph, HookedModel, DictionarySet, Path]:
    """A graph with the model and the dictionaries that it was traced with.

    Raises:
        ArtifactError: the dictionaries are gone or are not those of the graph any more.
    """
    graph = CircuitGraph.load(place.open("graphs", name).path)
    wanted = graph.manifest.details.get("dictionaries", "")
    members, folder = find_dictionaries(place, wanted, progress)
    recorded = graph.manifest.parents.get(wanted)
    found = members.manifest.content_hash if members.manifest else ""
    if recorded and recorded != found:
        raise ArtifactError(
            f"the graph {name!r} was traced with other dictionaries of the name {wanted!r}",
            f"recorded {recorded[:12]}, found {found[:12]}",
            "trace it again",
        )
    return graph, model_of(members, device, offline, progress, loader), members, folder


def model_of(
    members: DictionarySet, device: str, offline: bool, progress: Progress | None, loader: Loader = load_model
) -> HookedModel:
    """The model that a set was trained on, in float32, under the set's mask policy.

    Raises:
        ConfigError: the set does not say which. ArtifactError: its weights are others now.
    """
    manifest = members.manifest
    if manifest is None or manifest.model is None or manifest.mask is None:
        raise ConfigError(f"the set {members.name!r} does not say which model it belongs to")
    model = loader(
        manifest.model.id, device=device, offline=offline, policy=manifest.mask, progress=progress or Silent()
    )
    if model.ref.weight_hash != manifest.model.weight_hash:
        raise ArtifactError(
            f"the set {members.name!r} was trained on other weights of {manifest.model.id}",
            f"recorded {manifest.model.weight_hash[:12]}, found {model.ref.weight_hash[:12]}",
            "train it again",
        )
    return model


def make_target(
    model: HookedModel, target: str | None, foil: str | None, tokens: Int[Tensor, " t"] | None = None
) -> Target:
    """What to explain: target minus foil, the target alone, or the most probable tokens.

    With `tokens` (the prompt), words without a blank in front are taken with one where the model finds the target
    likelier so: after `gave a drink to` the word Mary means the token ` Mary`.
    """
    if target is None:
        return Target()
    words = [target] if foil is None else [target, foil]
    plain = [one_token(model, word) for word in words]
    blank = [model.tokenizer.encode(f" {word}") for word in words]
    if tokens is not None and all(len(ids) == 1 for ids in blank) and plain[0] != blank[0][0]:
        logits = model.run(tokens[None]).logits
        assert logits is not None
        if logits[0, -1, blank[0][0]] > logits[0, -1, plain[0]]:
            plain = [ids[0] for ids in blank]
    return Target.of(*plain) if foil is None else Target.difference(*plain)


def slug(text: str, limit: int = 48) -> str:
    """A name for files made from a prompt."""
    words = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    return words[:limit].rstrip("-") or "graph"


def _control_scores(result: Result | None) -> dict[str, dict[str, float]]:
    rows = result.tables["control_scores"] if result else []
    return {row["control"]: {key: value for key, value in row.items() if key != "control"} for row in rows}
