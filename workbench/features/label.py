"""Labels without a language model: units described by rules over tokens, scored on text that the rules did not see.

The text analogue of MILAN (Hernandez et al. 2022): descriptions are chosen by how well they tell where a unit fires,
and reported with the pointwise mutual information of rule and firing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Int
from scipy import sparse

from workbench.core import ConfigError, Progress, Result, Silent, Unit, child, position_mask
from workbench.dictionaries import DictionarySet

from .feature_scan import FeatureScan
from .label_config import LabelConfig
from .label_rules import RuleTable, describe, join_patterns, rule_table
from .units import unit_of

Array = np.ndarray
SOURCE = "tokens"


@dataclass(frozen=True)
class Firing:
    """Where some units fire in a text.

    Attributes:
        units: their addresses; active: [rows, units], True where they fire.
        rules: the rules of the same rows. document: of each row. passage: of each row, a stretch of some tokens.
    """

    units: tuple[Unit, ...]
    active: sparse.csc_matrix
    rules: RuleTable
    document: Int[Array, " n"]
    passage: Int[Array, " n"]


@dataclass(frozen=True)
class Scores:
    """A label against a unit on some rows."""

    precision: float
    recall: float
    f1: float
    pmi: float
    detection: float
    fuzzing: float


def firing(
    scan: FeatureScan,
    dictionaries: DictionarySet,
    member: str,
    strings: Callable[[list[int]], list[str]],
    config: LabelConfig | None = None,
    index: Sequence[int] | None = None,
    special_ids: Sequence[int] = (),
) -> Firing:
    """Read from a scan where units of a member fire: those of `index`, or a draw of those that fire often enough.

    Raises:
        ConfigError: none fires often enough.
    """
    config = config or LabelConfig()
    policy = scan.manifest.mask
    assert policy is not None
    kept = position_mask(scan.ids.long(), policy, special_ids, scan.lengths).numpy()
    if index is None:
        count = scan.statistic("count", member).numpy()
        able = np.flatnonzero((count >= config.least_count) & (count <= config.most_share * scan.counted_tokens))
        if not len(able):
            raise ConfigError(
                f"no unit of {member} fires on {config.least_count} tokens or more", hint="scan more text"
            )
        draw = np.random.default_rng(child(config.seed, "units", member))
        index = np.sort(draw.choice(able, min(config.units, len(able)), replace=False)).tolist()
    index = list(index or ())
    column = np.full(scan.members[member] + 1, -1)
    column[index] = np.arange(len(index))
    row_of = np.full(kept.shape, -1)
    row_of[kept] = np.arange(kept.sum())
    rows, columns = [], []
    for first, found, value in scan.codes(member):
        which = column[found.numpy()]
        row = np.broadcast_to(row_of[first : first + len(which), : which.shape[1], None], which.shape)
        hit = (which >= 0) & (row >= 0) & (value.float().numpy() != 0)
        rows.append(row[hit])
        columns.append(which[hit])
    place, unit = np.concatenate(rows), np.concatenate(columns)
    active = sparse.csc_matrix((np.ones(len(place), np.float32), (place, unit)), shape=(int(kept.sum()), len(index)))
    active.data[:] = 1
    sequence, position = kept.nonzero()
    names = [scan.document(s) for s in range(len(kept))]
    document = np.unique(names, return_inverse=True)[1][sequence]
    passage = sequence * kept.shape[1] + position // config.window
    table = rule_table(scan.ids.numpy(), scan.lengths.numpy(), kept, strings)
    units = tuple(unit_of(dictionaries, member, int(i)) for i in index)
    return Firing(units, active, table, document, np.unique(passage, return_inverse=True)[1])


def label_units(found: Firing, config: LabelConfig | None = None, progress: Progress | None = None) -> Result:
    """Label every unit by the rules that tell best where it fires, joined by `or` while F1 grows.

    Rules are chosen on one part of the documents; every score is of the others. precision, recall, f1: of tokens; pmi:
    log of how much more often the unit fires where the label holds; detection: balanced accuracy of telling passages
    in which the unit fires from passages in which it does not; fuzzing: of telling the tokens on which it fires from
    the others in the same passages. Controls: `shuffled_f1`, the label of another unit; `noise_f1`, rules chosen and
    scored in the same way for a unit whose firings were shifted along the text.

    Table `labels`: unit, label, f1, learnt_f1, precision, recall, pmi, detection, fuzzing, shuffled_f1, noise_f1,
    count, pattern, rules.

    Raises:
        ConfigError: fewer than two documents.
    """
    config, progress = config or LabelConfig(), progress or Silent()
    learn = _learning_rows(found.document, config)
    halves = [sparse.csc_matrix(found.rules.holds[rows]) for rows in (learn, ~learn)]
    active = [sparse.csc_matrix(found.active[rows]) for rows in (learn, ~learn)]
    shifted = [_shifted(part) for part in active]
    progress.phase("label units", total=len(found.units), unit="units")
    chosen, noise = (
        _choose(halves[0], part, config, step) for part, step in ((active[0], progress), (shifted[0], None))
    )
    other = np.roll(np.arange(len(found.units)), 1)
    passage = found.passage[~learn]
    records = []
    for number, (columns, learnt) in enumerate(chosen):
        rules = [found.rules.rules[column] for column in columns]
        says, fires = _holds(halves[1], columns), _column(active[1], number)
        scores = score(says, fires, passage)
        stranger = score(_holds(halves[1], chosen[other[number]][0]), fires, passage)
        by_chance = score(_holds(halves[1], noise[number][0]), _column(shifted[1], number), passage)
        records.append(
            {
                "unit": str(found.units[number]),
                "label": describe(rules) or "nothing found",
                "f1": scores.f1,
                "learnt_f1": learnt,
                "precision": scores.precision,
                "recall": scores.recall,
                "pmi": scores.pmi,
                "detection": scores.detection,
                "fuzzing": scores.fuzzing,
                "shuffled_f1": stranger.f1 if len(found.units) > 1 else float("nan"),
                "noise_f1": by_chance.f1,
                "count": int(found.active[:, [number]].sum()),
                "pattern": join_patterns(rules),
                "rules": [[rule.kind, *rule.words] for rule in rules],
            }
        )
    return Result(
        kind="labels",
        scalars={f"median_{key}": _median(records, key) for key in _MEDIANS} | {"units": float(len(records))},
        tables={"labels": records},
        params={"source": SOURCE, **config.model_dump(mode="json")},
        notes=(
            f"Rules chosen on {int(learn.sum()):,} tokens, scored on {int((~learn).sum()):,} of other documents; "
            f"{len(found.rules.rules):,} rules to choose from.",
        ),
        seed=config.seed,
        partial=len(chosen) < len(found.units),
    )


_MEDIANS = ("f1", "precision", "recall", "detection", "fuzzing", "shuffled_f1", "noise_f1")


def score(says: Bool[Array, " n"], fires: Bool[Array, " n"], passage: Int[Array, " n"]) -> Scores:
    """Every score of a statement about rows; nan where nothing can be said."""
    hits, said, fired = int((says & fires).sum()), int(says.sum()), int(fires.sum())
    nan = float("nan")
    precision, recall = (hits / said if said else 0.0), (hits / fired if fired else nan)
    f1 = 2 * hits / (said + fired) if fired else nan
    pmi = float(np.log(hits * len(says) / (said * fired))) if hits else nan
    count = passage.max() + 1 if len(passage) else 0
    firing_passage, said_passage, there = (np.zeros(count, bool) for _ in range(3))
    firing_passage[passage[fires]] = said_passage[passage[says]] = there[passage] = True
    silent = there & ~firing_passage
    detection = fuzzing = nan
    if firing_passage.any() and silent.any():
        detection = 0.5 * (said_passage[firing_passage].mean() + 1 - said_passage[silent].mean())
    others = firing_passage[passage] & ~fires
    if fired and others.any():
        fuzzing = 0.5 * (recall + 1 - says[others].mean())
    return Scores(precision, recall, f1, pmi, float(detection), float(fuzzing))


def _learning_rows(document: Int[Array, " n"], config: LabelConfig) -> Bool[Array, " n"]:
    """Documents drawn until the share is reached, one at least on either side."""
    names, sizes = np.unique(document, return_counts=True)
    if len(names) < 2:
        raise ConfigError("labels are scored on other documents than they were made from", found="one document")
    order = np.random.default_rng(child(config.seed, "documents")).permutation(len(names))
    held = np.cumsum(sizes[order]) <= config.heldout_share * sizes.sum()
    held[0], held[-1] = True, False
    return ~np.isin(document, names[order[held]])


def _choose(
    holds: sparse.csc_matrix, active: sparse.csc_matrix, config: LabelConfig, progress: Progress | None
) -> list[tuple[list[int], float]]:
    """For each unit the columns of its rules and their F1."""
    uses, fired = np.asarray(holds.sum(0))[0], np.asarray(active.sum(0))[0]
    usable = np.flatnonzero(uses >= config.least_uses)
    kept = holds[:, usable]
    hits = np.asarray((kept.T @ active).todense())
    f1 = 2 * hits / (uses[usable, None] + fired[None])
    precise = hits**1.5 / uses[usable, None]
    chosen = []
    for number in range(len(fired)):
        if progress is not None and progress.cancelled():
            break
        half = max(config.candidates // 2, 1)
        tried = np.unique(
            np.concatenate([np.argsort(-table[:, number], kind="stable")[:half] for table in (f1, precise)])
        )
        tried = tried[hits[tried, number] > 0]
        picked, best = _union(kept[:, tried].toarray() > 0, _column(active, number), config)
        chosen.append(([int(usable[tried[i]]) for i in picked], best))
        if progress is not None:
            progress.advance()
    return chosen


def _union(holds: Bool[Array, "n c"], fires: Bool[Array, " n"], config: LabelConfig) -> tuple[list[int], float]:
    """Rules added one by one, each time the one that lifts F1 most."""
    picked: list[int] = []
    best, fired = 0.0, int(fires.sum())
    hit, said = 0, 0
    free = np.ones(len(holds), bool)
    while len(picked) < config.most_rules and holds.shape[1]:
        new = holds & free[:, None]
        hits, uses = new[fires].sum(0), new.sum(0)
        f1 = 2 * (hit + hits) / np.maximum(said + uses + fired, 1)
        place = int(f1.argmax())
        if f1[place] <= best + (config.least_gain if picked else 0):
            break
        picked.append(place)
        best, hit, said = float(f1[place]), hit + int(hits[place]), said + int(uses[place])
        free &= ~holds[:, place]
    return picked, best


def _holds(holds: sparse.csc_matrix, columns: Sequence[int]) -> Bool[Array, " n"]:
    return np.asarray(holds[:, list(columns)].sum(1))[:, 0] > 0 if columns else np.zeros(_height(holds), bool)


def _column(matrix: sparse.csc_matrix, number: int) -> Bool[Array, " n"]:
    found = np.zeros(_height(matrix), bool)
    found[matrix.indices[matrix.indptr[number] : matrix.indptr[number + 1]]] = True
    return found


def _shifted(active: sparse.csc_matrix) -> sparse.csc_matrix:
    """The same firings some way further along the text."""
    found = active.tocoo()
    height = _height(active)
    rows = (found.row + height // 2 + 17) % height
    return sparse.csc_matrix((found.data, (rows, found.col)), shape=active.shape)


def _height(matrix: sparse.csc_matrix) -> int:
    assert matrix.shape is not None
    return int(matrix.shape[0])


def _median(records: Sequence[dict[str, Any]], key: str) -> float:
    """Over all units; one that never fires in the held-out text does not count."""
    values = [row[key] for row in records if row[key] == row[key]]
    return float(np.median(values)) if values else float("nan")
