"""The planted-truth bench: every family of autoencoders, trained on rows whose features are known."""

import logging
import tempfile
import time
from pathlib import Path
from typing import Any

from workbench.core import (
    ConfigError,
    Interrupted,
    Progress,
    Result,
    Silent,
    Site,
    child,
    get,
    names,
    nearest,
    register,
)
from workbench.data import BENCH_A, BENCH_B, PlantedConfig, PlantedFeatures
from workbench.dictionaries import Dictionary, DictionarySet, dictionaries_for_layers
from workbench.training import TrainConfig, Trained, TrainingError, fit

from .planted_config import DEFAULT_RECIPE, RECIPES, PlantedBenchConfig, Recipe
from .planted_rows import PlantedRows
from .recovery import RECOVERED, Recovery, chance, family_absorption, kinds, recover

log = logging.getLogger(__name__)

BENCHES: dict[str, PlantedConfig] = {"A": BENCH_A, "B": BENCH_B}


@register("benchmark", "planted")
def planted_bench(config: PlantedBenchConfig | None = None, progress: Progress | None = None) -> Result:
    """Train each family on each bench and hold it against the truth.

    Tables: `recovery` (a row per bench and family, random directions last), `kinds` (bench B: recovery of parents,
    children, members of groups), `absorption` (bench B: a row per family and parent).

    Raises:
        ConfigError: a family that does not exist or is no autoencoder.
        Interrupted: cancelled before one family was measured.
    """
    config, progress = config or PlantedBenchConfig(), progress or Silent()
    families = config.families or autoencoders()
    for family in families:
        if family not in autoencoders():
            raise ConfigError(f"no family of autoencoders {family!r}", hint=nearest(family, autoencoders()))
    benches = BENCHES if config.bench == "both" else {config.bench: BENCHES[config.bench]}
    tables: dict[str, list[dict[str, Any]]] = {"recovery": [], "kinds": [], "absorption": []}
    stopped = False
    for name, settings in benches.items():
        planted = PlantedFeatures(settings.model_copy(update={"seed": config.seed}))
        for family in families:
            stopped = stopped or progress.cancelled() or _measure(name, family, planted, config, progress, tables)
        recovered, mean_cosine = chance(planted, config.width, config.seed)
        control = {"bench": name, "family": "random directions", "recovered": recovered, "mean_cosine": mean_cosine}
        tables["recovery"].append(control)
    if stopped and len(tables["recovery"]) <= len(benches):
        raise Interrupted("the bench was cancelled before anything was measured")
    return Result(
        kind="planted",
        scalars={
            f"recovered_{row['bench']}_{row['family']}": row["recovered"]
            for row in tables["recovery"]
            if row["family"] in families
        },
        tables={table: rows for table, rows in tables.items() if rows},
        params=config.model_dump(mode="json") | {"recipes": {f: recipe_of(f).model_dump() for f in families}},
        notes=_notes(config),
        seed=config.seed,
        partial=stopped,
    )


def autoencoders() -> tuple[str, ...]:
    """The registered families that write where they read."""

    def writes_where_it_reads(family: str) -> bool:
        kind: type[Dictionary] = get("dictionary", family)
        reads, writes = kind.default_sites(0)
        return reads == writes

    return tuple(family for family in names("dictionary") if writes_where_it_reads(family))


def recipe_of(family: str) -> Recipe:
    """The recipe of a family's gate."""
    kind: type[Dictionary] = get("dictionary", family)
    return RECIPES.get(getattr(kind, "gate_name", ""), DEFAULT_RECIPE)


def _measure(
    bench: str,
    family: str,
    planted: PlantedFeatures,
    config: PlantedBenchConfig,
    progress: Progress,
    tables: dict[str, list[dict[str, Any]]],
) -> bool:
    """Add a family's rows to the tables; True if the training was cut short."""
    began = time.perf_counter()
    record: dict[str, Any] = {"bench": bench, "family": family}
    with tempfile.TemporaryDirectory() as folder:
        try:
            trained = train_on(planted, family, config, Path(folder) / "run", progress)
        except TrainingError as error:
            log.warning("%s", error)
            tables["recovery"].append(record | {"recovered": 0.0, "mean_cosine": float("nan"), "diverged": True})
            return False
        if trained.partial:
            return True
        seconds = time.perf_counter() - began
        recovery = recover(_only(trained.dictionaries), planted, config.held_out_rows, config.seed + 1)
        untrained = recover(_only(trained.initial), planted, 2, config.seed + 1)
    record |= _record(recovery) | {"recovered_untrained": untrained.recovered, "seconds": seconds}
    absorption = family_absorption(recovery, planted)
    if absorption:
        record["absorbed"] = sum(row["absorbed"] for row in absorption) / len(absorption)
        tables["absorption"] += [{"bench": bench, "family": family, **row} for row in absorption]
        tables["kinds"] += [{"bench": bench, "family": family, **row} for row in kinds(recovery, planted)]
    tables["recovery"].append(record)
    return False


def train_on(
    planted: PlantedFeatures, family: str, config: PlantedBenchConfig, folder: Path, progress: Progress
) -> Trained:
    """Train one autoencoder of a family on planted rows by its gate's recipe."""
    recipe, kind = recipe_of(family), get("dictionary", family)
    values = {"d_sae": config.width, **recipe.dictionary}
    if "k" in kind.config_class.model_fields:
        values.setdefault("k", min(round(planted.config.active), config.width))
    fresh = dictionaries_for_layers(family, [0], planted.config.d, kind.config_class.parse(values), f"planted-{family}")
    (site,) = {site for dictionary in fresh.values() for site in dictionary.sizes}
    rows = PlantedRows(planted, (Site.parse(site),), max(1, round(recipe.rows * config.rows_share)), seed=config.seed)
    return fit(fresh, rows, folder, TrainConfig.parse({**recipe.train, "seed": child(config.seed, family)}), progress)


def _only(dictionaries: DictionarySet) -> Dictionary:
    (dictionary,) = dictionaries.values()
    return dictionary


def _record(recovery: Recovery) -> dict[str, Any]:
    return {
        "recovered": recovery.recovered,
        "mean_cosine": recovery.mean_cosine,
        "fvu": recovery.fvu,
        "fvu_of_the_truth": recovery.floor,
        "l0": recovery.l0,
        "true_l0": recovery.true_l0,
        "dead_share": float((recovery.codes == 0).all(0).double().mean()),
        "missed_frequency": recovery.frequency_of_missed,
        "frequency": recovery.frequency,
    }


def _notes(config: PlantedBenchConfig) -> tuple[str, ...]:
    a, b = BENCH_A, BENCH_B
    return (
        f"Bench A: {a.features} independent features in {a.d} dimensions, {a.active:g} active on average, frequencies "
        f"in proportion to rank^-{a.exponent:g}, lognormal amplitudes (sd of the logarithm {a.spread:g}), Gaussian "
        f"noise with {a.noise:.0%} of the signal's energy. Bench B: as many, {b.parents} parents of {b.children} "
        "exclusive children each (a child fires only with its parent, and one does in "
        f"{b.child_share:.0%} of its rows), the rest in {b.groups} groups that co-occur (on in {b.group_share:.0%} of "
        f"the rows, members then {b.group_lift:g} times as likely).",
        f"Recovered: share of the true features whose optimally matched decoder row has a cosine above {RECOVERED:g}; "
        "mean_cosine over all true features. fvu_of_the_truth: what the true features leave (the noise). "
        f"FVU, L0 and dead share on {config.held_out_rows} fresh rows; every position counts.",
        "Controls: random directions, optimally matched; recovered_untrained: the same dictionary before its first "
        "step. missed_frequency: mean frequency of the features that were missed, frequency: of all.",
        "Absorbed: share of the rows with an active child in which the latent matched to the parent is silent and the "
        "child's own latent fires; towards_parent: mean cosine of the children's decoder rows with the parent's "
        "direction (near 0 when clean, large when they write the parent, too).",
        "One seed; seconds include making the rows.",
    )
