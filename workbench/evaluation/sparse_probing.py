"""k-sparse probing: how well few units tell a label, beside the baselines that make the number mean something."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from workbench.core import Result, child

from .concept_config import ProbingConfig
from .probe import Probe, Scores, Split, by_mean_difference, score, split_groups

Array = np.ndarray
LATENTS, NEURONS = "latents", "neurons"


def sparse_probing(
    codes: Float[Array, "n f"],
    activations: Float[Array, "n d"],
    labels: Mapping[str, Bool[Array, " n"]],
    groups: Int[Array, " n"],
    config: ProbingConfig | None = None,
) -> Result:
    """Probe each label with the k best latents, the k best coordinates, all of the activations, and with nothing.

    Units are chosen by mean difference on the training documents (Gurnee et al. 2023), read by a logistic
    regression, and scored on documents that neither saw. Baselines: `neurons` (the k best plain coordinates),
    `activations` (all of them), `majority` (balanced accuracy 0.5), and `latents, shuffled labels` (what choosing
    among so many latents finds in noise).

    Args:
        codes: values of the dictionary's latents; activations: the rows that it read.
        groups: the document of each row.

    Table `probing`: label, representation, k, accuracy with interval, f1, auc, units, positives, n.
    """
    config = config or ProbingConfig()
    split = split_groups(groups, config.test_share, child(config.seed, "probing"))
    records: list[dict[str, Any]] = []
    for name, label in labels.items():
        if all(_enough(label[part], config) for part in split):
            records += _label(name, codes, activations, label, groups, split, config)
    return Result(
        kind="probing",
        scalars=_scalars(records),
        tables={"probing": records},
        params=config.model_dump(mode="json"),
        notes=(
            "Balanced accuracy (both kinds of rows weigh the same; 0.5 is chance), F1 and area under the ROC curve on "
            f"{config.test_share:.0%} of the documents, kept from choosing and fitting; intervals: bootstrap over the "
            "test documents.",
            f"n = {len(groups)} rows; labels with fewer than {config.least_positives} rows of either kind on either "
            "side are left out.",
        ),
        seed=config.seed,
    )


def _label(
    name: str, codes: Array, activations: Array, label: Array, groups: Array, split: Split, config: ProbingConfig
) -> list[dict[str, Any]]:
    draw = np.random.default_rng(child(config.seed, "shuffled labels", name))
    shuffled = label.copy()
    for part in split:
        shuffled[part] = draw.permutation(label[part])

    def record(representation: str, x: Array, wanted: Array, k: int | None) -> dict[str, Any]:
        units = np.arange(x.shape[1]) if k is None else by_mean_difference(x[split.train], wanted[split.train], k)
        probe = Probe(x[split.train][:, units], wanted[split.train])
        found = score(probe.logits(x[split.test][:, units]), wanted[split.test], groups[split.test], config)
        shown = {"k": k, "units": units.tolist() if k is not None else []}
        return {"label": name, "representation": representation, **shown, **_scores(found)}

    records = []
    for k in sorted({min(k, codes.shape[1]) for k in config.k}):
        records.append(record(LATENTS, codes, label, k))
        if k <= activations.shape[1]:
            records.append(record(NEURONS, activations, label, k))
        records.append(record(f"{LATENTS}, shuffled labels", codes, shuffled, k))
    records.append(record("activations", activations, label, None))
    positives = {"positives": int(label[split.test].sum()), "n": len(split.test)}
    majority = Scores(score(np.full(len(split.test), -1.0), label[split.test], groups[split.test], config)[0], 0.0, 0.5)
    records.append({"label": name, "representation": "majority", "k": 0, "units": [], **_scores(majority)})
    return [row | positives for row in records]


def _scores(found: Scores) -> dict[str, float]:
    accuracy = found.accuracy
    shown = {"accuracy": accuracy.value, "accuracy_low": accuracy.low, "accuracy_high": accuracy.high}
    return shown | {"f1": found.f1, "auc": found.auc}


def _scalars(records: list[dict[str, Any]]) -> dict[str, float]:
    """Mean accuracy over labels, by representation and k."""
    cells: dict[str, list[float]] = {}
    for row in records:
        tail = "" if row["k"] is None or not row["k"] else f"_k{row['k']}"
        name = row["representation"].replace(", ", "_").replace(" ", "_")
        cells.setdefault(f"accuracy_{name}{tail}", []).append(row["accuracy"])
    return {name: float(np.mean(values)) for name, values in cells.items()}


def _enough(label: Array, config: ProbingConfig) -> bool:
    return min(label.sum(), (~label).sum()) >= config.least_positives
