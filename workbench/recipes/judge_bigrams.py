"""Judge a subnetwork beside its controls: answers, sufficiency, necessity, overlap, location and rotation."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from torch import Tensor

from workbench.core import Progress, Result
from workbench.data import PackedText
from workbench.evaluation import (
    BigramEvalConfig,
    answers,
    by_band,
    compare,
    covariance_similarity,
    examples,
    find_positions,
    layer_rows,
    rotations,
    spread_over,
)
from workbench.models import HookedModel
from workbench.subnetworks import BigramTarget, Subnetwork, embeddings_only, expected_overlap, overlap

FULL, OWN, EMBEDDINGS = "full model", "subnetwork", "embeddings only"
OPTIMAL = "optimal subnetwork"


def judge(
    model: HookedModel,
    target: BigramTarget,
    text: PackedText,
    subnetwork: Subnetwork,
    config: BigramEvalConfig,
    optimal: Subnetwork | None,
    base: Mapping[str, Tensor],
    progress: Progress,
) -> Result:
    """Every measure of a subnetwork on held-out text.

    Tables: `answers` (every variant alone), `removed` (the full model without something), `removal` (without shares of
    it), `bands`, `matrices`, `blocks`, `overlap` (if there is an optimal subnetwork), `rotation`, `examples`.
    """
    text = spread_over(text, config.sequences)
    drawn = {f"random mask {seed}": subnetwork.random(seed) for seed in range(config.random_masks)}
    variants = {
        FULL: base or None,
        OWN: subnetwork.weights(model, base),
        EMBEDDINGS: embeddings_only(model).weights(model, base),
    }
    variants |= {name: other.weights(model, base) for name, other in drawn.items()}
    removed = {"nothing": base or None, OWN: subnetwork.without(model, base)}
    removed |= {name: other.without(model, base) for name, other in drawn.items()}
    if optimal is not None:
        variants[OPTIMAL], removed[OPTIMAL] = optimal.weights(model, base), optimal.without(model, base)
    pairs = {OWN: subnetwork, "random mask 0": drawn["random mask 0"]}
    parts = len(pairs) * len(config.removed_shares)
    progress.phase("judge", total=len(variants) + len(removed) - 1 + parts, unit="variants")
    positions = find_positions(model, target, text, config)
    tables: dict[str, list[dict[str, Any]]] = {"answers": [], "removed": [], "bands": []}
    found = {}
    for name, weights in variants.items():
        said = answers(model, target, text, config, weights)
        tables["answers"].append({"variant": name, **compare(positions, said, config)})
        if name in (FULL, OWN, "random mask 0"):
            found[name] = said
            tables["bands"] += [{"variant": name, **row} for row in by_band(positions, said, config)]
        progress.advance()
    for name, weights in removed.items():
        said = found[FULL] if name == "nothing" else answers(model, target, text, config, weights)
        tables["removed"].append({"removed": name, **_loss(compare(positions, said, config))})
        progress.advance()
    losses = {row["removed"]: _loss(row) for row in tables["removed"]}

    def without(part: Subnetwork) -> dict[str, float]:
        progress.advance()
        return _loss(compare(positions, answers(model, target, text, config, part.without(model, base)), config))

    tables["removal"] = [row for name, whole in pairs.items() for row in removal(name, whole, losses, config, without)]
    tables["matrices"], tables["blocks"] = subnetwork.table(), block_table(subnetwork)
    if optimal is not None:
        tables["overlap"] = [overlap_row(subnetwork, optimal)]
    drawn_and_own = {name: variants[name] for name in (FULL, OWN, "random mask 0") if name in variants}
    tables["rotation"], arrays = turned(model, text, config, drawn_and_own)
    tables["examples"] = examples(model, text, positions, found[FULL], found[OWN], config.examples)
    rows = {row["variant"]: row for row in tables["answers"]}
    scalars = {
        "r": rows[OWN]["r"],
        "r_full": rows[FULL]["r"],
        "share": subnetwork.share,
        "kept": float(subnetwork.kept),
    }
    scalars |= {"positions": float(len(positions.current)), "entries": float(subnetwork.total)}
    return Result(
        kind="bigram evaluation",
        scalars=scalars,
        tables=tables,
        arrays=arrays,
        params=config.model_dump(mode="json") | {"details": subnetwork.details},
        inputs={"text": text.ref.hash, "model": model.ref.weight_hash},
        notes=NOTES,
        seed=config.seed,
    )


def _loss(row: Mapping[str, Any]) -> dict[str, float]:
    return {key: row[key] for key in ("loss", "loss_low", "loss_high")}


def removal(
    name: str,
    whole: Subnetwork,
    losses: Mapping[str, dict[str, float]],
    config: BigramEvalConfig,
    without: Callable[[Subnetwork], dict[str, float]],
) -> list[dict[str, Any]]:
    """The loss of the full model without none, some shares and all of a mask's entries."""
    rows = [{"removed": name, "share": 0.0, "entries": 0, **losses["nothing"]}]
    for share in sorted(config.removed_shares):
        part = whole.part(share, config.seed)
        rows.append({"removed": name, "share": share, "entries": part.kept, **without(part)})
    return [*rows, {"removed": name, "share": 1.0, "entries": whole.kept, **losses[name]}]


def block_table(subnetwork: Subnetwork) -> list[dict[str, Any]]:
    """Kept entries of every block (attention or MLP of a layer)."""
    kept, rows = max(subnetwork.kept, 1), []
    for (layer, block), names in subnetwork.blocks().items():
        count = sum(int(subnetwork.masks[name].sum()) for name in names)
        entries = sum(subnetwork.masks[name].numel() for name in names)
        rows.append({"layer": layer, "block": block, "kept": count, "density": count / entries, "share": count / kept})
    return rows


def overlap_row(subnetwork: Subnetwork, optimal: Subnetwork) -> dict[str, Any]:
    """Shared entries against random masks with the same count in every block; the interval is theirs."""
    shared, wanted = overlap(subnetwork, optimal), expected_overlap(subnetwork, optimal)
    drawn = [overlap(subnetwork.random(seed), optimal) for seed in range(20)]
    spread = float(np.std(drawn, ddof=1))
    return {
        "bigram_share": subnetwork.share,
        "optimal_share": optimal.share,
        "overlap": shared / subnetwork.total,
        "expected": wanted / subnetwork.total,
        "ratio": shared / wanted if wanted else float("nan"),
        "contained": shared / max(subnetwork.kept, 1),
        "random_low": (wanted - 1.96 * spread) / subnetwork.total,
        "random_high": (wanted + 1.96 * spread) / subnetwork.total,
    }


def turned(
    model: HookedModel, text: PackedText, config: BigramEvalConfig, variants: Mapping[str, Mapping[str, Tensor] | None]
) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """Rotation by layer of every variant, with its spread over two halves of the text, and covariance similarities."""
    rows, arrays = [], {}
    for name, weights in variants.items():
        states = layer_rows(model, text, config, weights)
        half = len(states[0]) // 2
        whole, *parts = (
            rotations([own[part] for own in states], config.ridge, config.rotation_every)
            for part in (slice(None), slice(half), slice(half, None))
        )
        for row, *halves in zip(whole, *parts, strict=True):
            ends = {}
            for key in ("to_input", "to_output"):
                seen = [row[key], *(half[key] for half in halves)]
                ends |= {f"{key}_low": min(seen), f"{key}_high": max(seen)}
            rows.append({"variant": name, **row, **ends})
        arrays[f"covariance similarity, {name}"] = covariance_similarity(states)
    return rows, arrays


NOTES = (
    "r: Pearson's correlation over held-out tokens of the surprisal with the bigram's; top1: the bigram's first choice "
    "is the variant's; divergence: KL(bigram | variant) in nats; loss: next-token cross-entropy; 95 % intervals "
    "resample documents",
    "random masks keep as many entries as the subnetwork in every block; removed: the full model without these "
    "entries; removal: without a random share of them, the same share in every block",
    "bands: tokens from the most frequent on, with equally many positions in each",
    "overlap: share of all entries that both keep; expected of, and interval of, random masks of equal count per block",
    "rotation: median angle, in degrees, of ridge maps from the stream after each layer (0: the embedding) to the "
    "embedding and to the last layer; from and to are the extremes over the whole text and its two halves",
    "examples: surprisals in nats; explained: both expect it, not explained: only the model does",
)
