"""Everything about one unit on one page: where it fires, what it writes, what is like it."""

from typing import Any

from workbench.core import Progress, Result, Silent, Unit

from .bench import Bench
from .config import CardConfig
from .effects import measured_effects, unit_effects
from .feature_scan import FeatureScan
from .relations import connections, similar_units

SETS = ("top", "band", "random", "near miss")


def feature_card(
    bench: Bench, scan: FeatureScan, unit: Unit, config: CardConfig | None = None, progress: Progress | None = None
) -> Result:
    """The card of a feature, code or neuron; the model runs for the measured effects only.

    Tables: `examples` (set: top, band, random, near miss; band; activation, document, tokens, values, peak),
    `histogram` (of the activation's size), `effects` (token, value: direct path), `measured`, `similar`,
    `connections`. Scalars: count, density, largest, scale (root mean square where active), dead, dense, duplicate (0
    or 1), twin_cosine, alignment, agreement.
    """
    config, progress = config or CardConfig(), progress or Silent()
    progress.phase("feature card", 4, "parts")
    strings = bench.model.tokenizer.strings
    parts = [occurrences(scan, unit, strings, config)]
    progress.advance()
    parts.append(similar_units(bench, scan, unit, config.similar))
    progress.advance()
    parts.append(connections(bench, unit, config.connections, scan))
    progress.advance()
    (row,) = unit_effects(bench.model, bench.dictionaries, [unit], config.tokens).tables["unit_effects"]
    effects = [{"token": token, "value": value} for token, value in (*row["promoted"], *reversed(row["suppressed"]))]
    if config.measured:
        parts.append(measured_effects(bench, scan, unit, config))
    progress.advance()
    scalars, tables, notes = {}, {"effects": effects}, []
    for part in parts:
        scalars, tables, notes = scalars | part.scalars, tables | part.tables, [*notes, *part.notes]
    return Result(
        "feature card",
        scalars,
        tables,
        params={"unit": str(unit), **scan.source(), **config.model_dump(mode="json")},
        inputs=scan.inputs(),
        notes=tuple(notes),
        seed=config.seed,
    )


def occurrences(scan: FeatureScan, unit: Unit, strings: Any, config: CardConfig | None = None) -> Result:
    """Where a unit fires, as a scan says: examples of every set, histogram, density, flags. No model is needed.

    Args:
        strings: turns token ids into printable texts (`model.tokenizer.strings`).
    """
    config, member = config or CardConfig(), scan.member(unit.site)
    flags = scan.flags(member)
    twin = int(scan.statistic("twin", member)[unit.index])
    scalars = {
        "count": float(scan.counts(unit.site)[unit.index]),
        "density": scan.density(unit),
        "largest": max((abs(value) for value in scan.places(unit, "top")[1]), default=0.0),
        "scale": scan.scale(unit),
        "twin": float(twin),
        "twin_cosine": float(scan.statistic("twin_cosine", member)[unit.index]),
        **{name: float(found[unit.index]) for name, found in flags.items()},
    }
    return Result(
        "occurrences",
        scalars,
        {"examples": _examples(scan, unit, strings, config), "histogram": scan.histogram(unit)},
        params={"unit": str(unit), **scan.source(), **config.model_dump(mode="json")},
        inputs=scan.inputs(),
        notes=(_told(scan, unit),),
        seed=scan.manifest.seed,
    )


def _examples(scan: FeatureScan, unit: Unit, strings: Any, config: CardConfig) -> list[dict[str, Any]]:
    def row(kind: str, band: int, place: int, value: float) -> dict[str, Any]:
        return {"set": kind, "band": band, **scan.context(unit, place, value, strings, config.context)}

    rows = []
    for kind, kept in (("top", "top"), ("random", "random"), ("near miss", "near")):
        found = list(zip(*scan.places(unit, kept), strict=True))[: config.examples]
        rows += [row(kind, 0, place, value) for place, value in found]
    each = max(config.examples // config.bands, 1) + 1
    rows += [row("band", band, place, value) for band, place, value in scan.bands(unit, config.bands, each)]
    return rows


def _told(scan: FeatureScan, unit: Unit) -> str:
    count, text = int(scan.counts(unit.site)[unit.index]), scan.manifest.text
    of = f"{scan.counted_tokens:,} tokens of {text.id if text else 'the text'} ({text.split if text else 'all'} part)"
    return (
        f"Fires on {count:,} of {of}, {scan.density(unit):.2%}; random examples drawn with seed {scan.manifest.seed}."
    )
