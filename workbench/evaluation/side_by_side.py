"""Several evaluations in one table, dictionaries of any family and their controls row by row."""

from collections.abc import Mapping
from typing import Any

from workbench.core import ConfigError, Result

from .quality import DICTIONARY
from .splice import ABLATIONS

MEASURES = ("fvu", "mse", "cosine", "shrinkage", "norm_ratio", "l0", "dead_share", "dense_share")


def side_by_side(results: Mapping[str, Result]) -> Result:
    """Evaluations of sets of dictionaries on the same text as one Result of kind `comparison`.

    Tables: `dictionaries` (a row per set, variant and Site) and `splice` (a row per set and variant; the model alone
    and ablations that are equal come once). A variant is `dictionary` or the name of a control.

    Raises:
        ConfigError: nothing to compare, or evaluations of different models, texts or settings.
    """
    if not results:
        raise ConfigError("there is no evaluation to put side by side")
    first = next(iter(results.values()))
    for name, result in results.items():
        for key in ("model", "text"):
            if result.inputs.get(key) != first.inputs.get(key):
                raise ConfigError(f"{name} was evaluated on another {key}", hint="evaluate them together")
    tables = {
        "dictionaries": [
            row
            for name, result in results.items()
            for record in result.tables["layers"]
            for row in _rows(name, record, result.params.get("controls", []))
        ],
        "splice": _splice(results),
    }
    return Result(
        kind="comparison",
        tables={name: rows for name, rows in tables.items() if rows},
        params=first.params,
        inputs={"model": first.inputs.get("model", ""), "text": first.inputs.get("text", "")}
        | {f"dictionaries {name}": result.inputs.get("dictionaries", "") for name, result in results.items()},
        notes=first.notes,
        seed=first.seed,
        partial=any(result.partial for result in results.values()),
    )


def _rows(name: str, record: Mapping[str, Any], controls: list[str]) -> list[dict[str, Any]]:
    rows = []
    for variant in (DICTIONARY, *controls):
        suffix = "" if variant == DICTIONARY else f"_{variant}"
        if f"fvu{suffix}" not in record:
            continue
        row: dict[str, Any] = {"set": name, "variant": variant, "site": record["site"], "family": record["family"]}
        row["width"] = record["width"] if variant == DICTIONARY else None
        parts = [part for key in MEASURES for part in (key, f"{key}_low", f"{key}_high")]
        rows.append(row | {part: record[f"{part}{suffix}"] for part in parts if f"{part}{suffix}" in record})
    return rows


def _splice(results: Mapping[str, Result]) -> list[dict[str, Any]]:
    """Every set's rows for whole replacements; the model alone and equal ablations come once."""
    rows: list[dict[str, Any]] = []
    seen: set[tuple] = set()
    for name, result in results.items():
        for record in result.tables.get("splice", []):
            shared = record["variant"] in ("model", *ABLATIONS)
            key = (record["variant"], record["ce"], record["kl"])
            if record["layer"] is not None or (shared and key in seen):
                continue
            seen.add(key)
            rows.append({"set": "" if record["variant"] == "model" else name, **record})
    return rows
