"""Scores that tell: which of a graph's scores rank a trained set of dictionaries above its spoiled copies."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from workbench.circuits import TraceConfig, trace
from workbench.core import Config, Progress, Result, Silent, Site, child
from workbench.data import PromptPair, make_task
from workbench.dictionaries import AffineFit, Coder, DictionarySet
from workbench.models import HookedModel
from workbench.workspace import Workspace

from .circuits import model_of
from .dictionaries import find_dictionaries, load_controls
from .score_ranking_config import ScoreRankingConfig
from .study import target_of_pair

SCORES = ("replacement", "completeness_features", "group_effect")
NOTES = (
    "trained: the set itself; untrained: before its first step; shuffled decoder: features write what others wrote",
    "affine only: no features; broken: the affine path fitted on all rows of these very prompts, outliers of the "
    "first position included, features as trained",
    "each score is the mean over prompts with a 95 % bootstrap interval over them; `beaten` is the share of prompts on "
    "which the trained set has the higher score",
    "group_effect: see workbench.circuits.group_effect; its definition was chosen on other prompts (seed 0)",
)


def rank_by_name(
    place: Workspace,
    name: str,
    config: ScoreRankingConfig | None = None,
    device: str = "auto",
    offline: bool = False,
    progress: Progress | None = None,
) -> Result:
    """Rank a set of the workspace and its spoiled copies by every score, and save the Result."""
    config = config or ScoreRankingConfig()
    members, folder = find_dictionaries(place, name)
    model = model_of(members, device, offline, progress)
    prompts = [
        pair for task in config.tasks for pair in make_task(task, model.tokenizer, config.prompts, config.seed).prompts
    ]
    sets = spoiled_sets(model, members, load_controls(folder), prompts, config.seed)
    result = rank_scores(model, sets, prompts, config, progress)
    result.save(place.path_of("results", f"{name}-score-ranking"))
    return result


def spoiled_sets(
    model: HookedModel,
    trained: DictionarySet,
    controls: Mapping[str, DictionarySet],
    prompts: Sequence[PromptPair],
    seed: int,
) -> dict[str, DictionarySet]:
    """The trained set first, then what its scores should leave behind."""
    found = {"trained": trained}
    if "untrained" in controls:
        found["untrained"] = controls["untrained"]
    found |= {"shuffled decoder": trained.shuffled_decoder(seed), "affine only": trained.affine_only()}
    if any(isinstance(member, Coder) and member.W_skip is not None for member in trained.values()):
        found["broken"] = broken_set(model, trained, prompts)
    return found


@torch.no_grad()
def broken_set(model: HookedModel, trained: DictionarySet, prompts: Sequence[PromptPair]) -> DictionarySet:
    """A copy whose affine paths are fitted on a few rows, with the outliers of the first position among them.

    Such a path carries almost everything on these prompts: replacement and completeness rise, while the features
    explain nothing.
    """
    broken = trained.copy()
    broken.name = f"{trained.name} (broken)"
    coders = [member for member in broken.values() if isinstance(member, Coder) and member.W_skip is not None]
    sites = [site for member in coders for site in (*member.reads, *member.writes)]
    seen: dict[Site, list[torch.Tensor]] = {site: [] for site in sites}
    for pair in prompts:
        for site, rows in model.capture(model.tokens(pair.prompt).ids[:1], sites).items():
            seen[site].append(rows[0])
    for member in coders:
        x, y = (torch.cat(seen[site]).to(member.W_dec) for site in (member.reads[0], member.writes[0]))
        fitted = AffineFit(x.shape[1], y.shape[1]).add(x, y).solve(_ridge(member.config), x.dtype)
        assert member.W_skip is not None
        member.W_skip.copy_(fitted.weight)
        member.b_dec.copy_(fitted.bias)
    return broken


def rank_scores(
    model: HookedModel,
    sets: Mapping[str, DictionarySet],
    prompts: Sequence[PromptPair],
    config: ScoreRankingConfig,
    progress: Progress | None = None,
) -> Result:
    """Trace every prompt with every set and rank the sets by each score (kind `score_ranking`).

    Tables: `ranking` (one row for each set), `prompts` (one row for each prompt and set).
    """
    progress = progress or Silent()
    settings = TraceConfig(max_feature_nodes=config.max_feature_nodes, max_edges=1)
    rows: list[dict[str, Any]] = []
    progress.phase("tracing prompts", len(prompts), "prompts")
    for pair in prompts:
        if stopped := progress.cancelled():
            break
        tokens, target = model.tokens(pair.prompt).ids[0], target_of_pair(model, pair)
        for name, members in sets.items():
            graph = trace(model, members, tokens, target, settings)
            found = {score: graph.scores[score] for score in SCORES}
            parts = {part: graph.scores[f"group_{part}"] for part in ("predicted", "measured", "random")}
            rows.append({"prompt": pair.prompt, "set": name, "metric_value": graph.metric_value, **found, **parts})
        progress.advance(1)
    else:
        stopped = False
    ranking = [_summary(name, rows, config) for name in sets] if rows else []
    return Result(
        "score_ranking",
        scalars={f"{row['set']}: {score}": row[score] for row in ranking for score in SCORES},
        tables={"ranking": ranking, "prompts": rows},
        params=config.model_dump(mode="json"),
        notes=NOTES,
        seed=config.seed,
        partial=stopped,
    )


def _summary(name: str, rows: list[dict[str, Any]], config: ScoreRankingConfig) -> dict[str, Any]:
    found: dict[str, Any] = {"set": name}
    for score in SCORES:
        mine = np.array([row[score] for row in rows if row["set"] == name])
        trained = np.array([row[score] for row in rows if row["set"] == "trained"])[: len(mine)]
        draw = np.random.default_rng(child(config.seed, "score ranking"))
        means = mine[draw.integers(len(mine), size=(config.resamples, len(mine)))].mean(1)
        low, high = np.quantile(means, (0.025, 0.975))
        found |= {score: float(mine.mean()), f"{score} low": float(low), f"{score} high": float(high)}
        found[f"{score} beaten"] = float((trained > mine).mean()) if name != "trained" else None
    return found


def _ridge(config: Config) -> float:
    return float(getattr(config, "ridge", 1e-3))
