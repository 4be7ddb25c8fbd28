"""The result files of SAEBench's core evaluation, from our own evaluation."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from workbench.core import ConfigError, Result

from .writing import write_text_json

MISSING = -1
"""What SAEBench writes for a figure that was not computed."""
DEFINITIONS = (
    "Written by mech-workbench. explained_variance = 1 - FVU over the kept rows; relative_reconstruction_bias = "
    "E[|y|^2] / E[x . y]; scores compare with zero ablation at the same positions; -1: not computed here."
)


def write_saebench(result: Result, folder: Path, release: str, model: str = "", made: str = "") -> list[Path]:
    """One `<release>_<dictionary>_eval_results.json` for each dictionary of an evaluation made at `made` (ISO time).

    Raises:
        ConfigError: the Result is no evaluation of dictionaries.
    """
    rows = result.tables.get("layers")
    if result.kind != "evaluation" or not rows:
        raise ConfigError("SAEBench files are made from an evaluation", found=f"found a {result.kind}")
    written = []
    for row in rows:
        name = str(row["dictionary"] or row["site"]).removeprefix(f"{release}/").replace("/", "_")
        path = Path(folder) / f"{release}_{name}_eval_results.json"
        write_text_json(path, core_json(result, row, release, len(rows) == 1, model, made))
        written.append(path)
    return written


def core_json(
    result: Result, row: Mapping[str, Any], release: str, alone: bool, model: str = "", made: str = ""
) -> dict[str, Any]:
    """The core result of one dictionary: one row of the table `layers`, with its rows of `splice`.

    `alone`: the dictionary is the only one, so that replacing all of them replaces it.
    """
    splice = result.tables.get("splice") or []
    mine = _find(splice, "dictionary", None if alone else row["layer"])
    plain, zero = _find(splice, "model", None), _find(splice, "zero", None) if alone else {}
    shrinkage = row.get("shrinkage")
    dense = result.params.get("dense_above")
    metrics: dict[str, dict[str, Any]] = {
        "model_behavior_preservation": {
            "kl_div_score": _score(zero.get("kl"), mine.get("kl"), 0.0),
            "kl_div_with_ablation": _number(zero.get("kl")),
            "kl_div_with_sae": _number(mine.get("kl")),
        },
        "model_performance_preservation": {
            "ce_loss_score": _score(zero.get("ce"), mine.get("ce"), plain.get("ce")),
            "ce_loss_with_ablation": _number(zero.get("ce")),
            "ce_loss_with_sae": _number(mine.get("ce")),
            "ce_loss_without_sae": _number(plain.get("ce")),
        },
        "reconstruction_quality": {
            "explained_variance": _number(row.get("fvu"), lambda fvu: 1 - fvu),
            "explained_variance_legacy": MISSING,
            "mse": _number(row.get("mse")),
            "cossim": _number(row.get("cosine")),
        },
        "shrinkage": {
            "l2_norm_in": MISSING,
            "l2_norm_out": MISSING,
            "l2_ratio": _number(row.get("norm_ratio")),
            "relative_reconstruction_bias": _number(shrinkage, lambda value: 1 / value if value else MISSING),
        },
        "sparsity": {"l0": _number(row.get("l0")), "l1": MISSING},
        "token_stats": {
            "total_tokens_eval_reconstruction": int(mine.get("n", 0)),
            "total_tokens_eval_sparsity_variance": int(row.get("rows", 0)),
        },
        "misc": {
            "freq_over_1_percent": _number(row.get("dense_share")) if dense == 0.01 else MISSING,
            "freq_over_10_percent": _number(row.get("dense_share")) if dense == 0.1 else MISSING,
            "frac_alive": _number(row.get("dead_share"), lambda share: 1 - share),
        },
    }
    params = json.loads(json.dumps(dict(result.params), default=str))
    identity = hashlib.sha256(json.dumps([metrics, params, release, row["site"]], sort_keys=True, default=str).encode())
    return {
        "eval_type_id": "core",
        "eval_config": {"model_name": model, **params, "inputs": dict(result.inputs)},
        "eval_id": identity.hexdigest()[:32],
        "datetime_epoch_millis": _millis(made),
        "eval_result_metrics": metrics,
        "eval_result_details": [],
        "sae_bench_commit_hash": "not SAEBench",
        "sae_lens_id": str(row["site"]),
        "sae_lens_release_id": release,
        "sae_lens_version": "not SAELens",
        "sae_cfg_dict": {"architecture": row.get("family"), "d_sae": row.get("width"), "hook_name": str(row["site"])},
        "eval_result_unstructured": {"definitions": DEFINITIONS, "notes": list(result.notes)},
    }


def _find(rows: Sequence[Mapping[str, Any]], variant: str, layer: int | None) -> Mapping[str, Any]:
    return next((row for row in rows if row.get("variant") == variant and row.get("layer") == layer), {})


def _number(value: Any, change: Any = None) -> Any:
    if not isinstance(value, int | float) or value != value:
        return MISSING
    return change(value) if change else value


def _score(ablated: Any, spliced: Any, clean: Any) -> Any:
    """How much of what ablation loses is kept."""
    if not all(isinstance(value, int | float) for value in (ablated, spliced, clean)) or ablated == clean:
        return MISSING
    return (ablated - spliced) / (ablated - clean)


def _millis(made: str) -> int:
    try:
        return int(datetime.fromisoformat(made).timestamp() * 1000)
    except ValueError:
        return MISSING
