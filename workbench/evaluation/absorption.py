"""Splitting and absorption: does the latent of a concept fall silent where a more special one fires?"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from workbench.core import Result, child

from .bootstrap import Estimate, ratio
from .concept_config import AbsorptionConfig
from .probe import Probe, Split, by_mean_difference, score, split_groups

Array = np.ndarray


class Concept(NamedTuple):
    """One label's probe and the latents that stand for it.

    Attributes:
        direction: the probe's, of length 1; says_yes: where the probe holds the label true.
        main: the latents into which the label is split, best first.
    """

    direction: Float[Array, " d"]
    says_yes: Bool[Array, " n"]
    main: Int[Array, " m"]


class Absorption(NamedTuple):
    """Per row: fully absorbed, and the share of the label's projection that other latents took over."""

    full: Bool[Array, " n"]
    fraction: Float[Array, " n"]


def absorption(
    codes: Float[Array, "n f"],
    activations: Float[Array, "n d"],
    decoder: Float[Array, "f d"],
    labels: Sequence[str],
    config: AbsorptionConfig | None = None,
) -> Result:
    """Splitting and absorption of each label (the first letter of a word, say) over rows of one word each.

    Protocol of Chanin et al. 2024 ("A is for Absorption"), with the projection criterion of SAEBench instead of
    ablations. For each label, on the training words: a probe on the activations, and the latents that stand for the
    label (by mean difference; a further one counts while it lifts the F1 of a probe on them by more than
    `f1_jump`). On the test words of the label that the probe recognises, a row is fully absorbed when no main
    latent fires, and the latent with the largest projection on the probe's direction has a cosine of at least
    `full_cosine` with it and makes up `projection_share` of the row's projection. The fraction counts partial
    absorption, too: what at most `most_absorbing` other latents contribute in place of the main ones.

    Args:
        decoder: what each latent writes, in the space of `activations`.
        labels: the label of each row.

    Tables: `absorption` (a row per label) and `absorbed` (fully absorbed rows with the latents concerned).
    """
    config = config or AbsorptionConfig()
    names = np.array(labels)
    split = split_groups(np.arange(len(names)), config.test_share, child(config.seed, "absorption"))
    unit = decoder / np.maximum(np.linalg.norm(decoder, axis=1, keepdims=True), 1e-30)
    records: list[dict[str, Any]] = []
    absorbed: list[dict[str, Any]] = []
    for name in sorted(set(labels)):
        label = names == name
        if min(label[part].sum() for part in split) < 2 or label.sum() < config.least_words:
            continue
        concept = find_concept(codes, activations, label, split, config)
        rows = split.test[label[split.test] & concept.says_yes[split.test]]
        found = absorbed_rows(codes[rows], activations[rows], decoder, unit @ concept.direction, concept, config)
        records.append(_record(name, label, split, concept, activations, codes, rows, found, config))
        absorbed += _examples(name, rows[found.full], codes, decoder, concept)
    return Result(
        kind="absorption",
        scalars=_scalars(records),
        tables={"absorption": records, "absorbed": absorbed},
        params=config.model_dump(mode="json"),
        notes=(
            "Absorbed: among test words whose label the probe recognises, the share in which no latent of the label "
            "fires and another one carries the label's direction; fraction counts partial take-over, too. Splits: "
            "latents that stand for the label. Intervals: bootstrap over words.",
            "probe_f1: the probe on all activations; main_f1: a probe on the label's latents; both on test words. "
            "Where main_f1 is low the dictionary has no latent of the label, and absorption says little.",
            f"n = {len(labels)} words; labels with fewer than {config.least_words} are left out.",
        ),
        seed=config.seed,
    )


def find_concept(
    codes: Array, activations: Array, label: Bool[Array, " n"], split: Split, config: AbsorptionConfig
) -> Concept:
    """A label's probe and its latents, from the training rows."""
    train = split.train
    probe = Probe(activations[train], label[train])
    ranked = by_mean_difference(codes[train], label[train], config.most_split, positive=True)
    best, kept = -np.inf, 1
    for k in range(1, len(ranked) + 1):
        columns = codes[train][:, ranked[:k]]
        f1 = score(Probe(columns, label[train]).logits(columns), label[train], train, config).f1
        if k > 1 and f1 <= best + config.f1_jump:
            break
        best, kept = f1, k
    direction = probe.direction / max(float(np.linalg.norm(probe.direction)), 1e-30)
    return Concept(direction, probe.logits(activations) > 0, ranked[:kept])


def absorbed_rows(
    codes: Array,
    activations: Array,
    decoder: Array,
    cosine: Float[Array, " f"],
    concept: Concept,
    config: AbsorptionConfig,
) -> Absorption:
    """Full and partial absorption of rows of one label; `cosine`: of each decoder row with the probe's direction."""
    if not len(codes):
        return Absorption(np.zeros(0, bool), np.zeros(0))
    carried = codes * (decoder @ concept.direction)
    whole = activations @ concept.direction
    main = carried[:, concept.main].sum(1)
    silent = (np.abs(codes[:, concept.main]) < 1e-8).all(1)
    top = carried.argmax(1)
    top_carried = carried[np.arange(len(codes)), top]
    full = silent & (whole > 0) & (cosine[top] >= config.full_cosine)
    full &= top_carried >= config.projection_share * np.maximum(whole, 1e-30)
    others = carried.copy()
    others[:, concept.main] = 0
    others[:, cosine < config.fraction_cosine] = 0
    others = np.sort(np.maximum(others, 0), axis=1)[:, -config.most_absorbing :].sum(1)
    taken = np.minimum(others, whole - main)
    fraction = np.where(main <= 0, 1.0, taken / np.maximum(taken + main, 1e-30))
    none = (whole <= 0) | (main >= whole) | (others < config.projection_share * whole)
    return Absorption(full, np.where(none, 0.0, np.clip(fraction, 0, 1)))


def _record(
    name: str,
    label: Array,
    split: Split,
    concept: Concept,
    activations: Array,
    codes: Array,
    rows: Array,
    found: Absorption,
    config: AbsorptionConfig,
) -> dict[str, Any]:
    train, test = split
    probe = score(np.where(concept.says_yes[test], 1.0, -1.0), label[test], test, config)
    reader = Probe(codes[train][:, concept.main], label[train])
    main = score(reader.logits(codes[test][:, concept.main]), label[test], test, config)
    ones = np.ones(len(rows))
    estimates = {
        "absorbed": ratio(found.full.astype(float), ones, config) if len(rows) else _UNKNOWN,
        "fraction": ratio(found.fraction, ones, config) if len(rows) else _UNKNOWN,
    }
    record: dict[str, Any] = {"label": name, "words": int(label.sum()), "recognised": len(rows)}
    for key, estimate in estimates.items():
        record |= {key: estimate.value, f"{key}_low": estimate.low, f"{key}_high": estimate.high}
    return record | {
        "splits": len(concept.main),
        "main": concept.main.tolist(),
        "probe_f1": probe.f1,
        "main_f1": main.f1,
    }


def _examples(name: str, rows: Array, codes: Array, decoder: Array, concept: Concept) -> list[dict[str, Any]]:
    carried = decoder @ concept.direction
    return [
        {"label": name, "row": int(row), "main": concept.main.tolist(), "by": int((codes[row] * carried).argmax())}
        for row in rows
    ]


def _scalars(records: list[dict[str, Any]]) -> dict[str, float]:
    keys = ("absorbed", "fraction", "splits", "probe_f1", "main_f1")
    means = {key: [row[key] for row in records if row[key] == row[key]] for key in keys}
    return {f"{key}_mean": float(np.mean(values)) for key, values in means.items() if values}


_UNKNOWN = Estimate(float("nan"), float("nan"), float("nan"))
