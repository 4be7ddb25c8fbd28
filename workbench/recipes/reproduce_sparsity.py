"""`reproduce sparsity`: what silent neurons cost SmolLM2 by published rules, beside what the papers report."""

from pathlib import Path
from typing import Any

from workbench.core import Progress, Result, register
from workbench.evaluation import DialConfig, dial
from workbench.workspace import shipped_folder

from .reproduce_config import ReproduceConfig
from .reproduce_summary import SUMMARY, Compared, summary
from .subject import open_subject

MODEL, TEXT = "smollm2-135m-instruct-q4", "wikipedia-sample"
DIAL = DialConfig(
    rules="teal,cett,cats,top-k,random", sequences=20, calibration_rows=128, layer_shares="0.5,0.8", layer_sequences=2
)

PAPERS = {
    "teal": "TEAL (Liu et al. 2024)",
    "cett": "Sparsing Law (Luo et al. 2024)",
    "cats": "CATS (Lee et al. 2024)",
    "top-k": "The Lazy Neuron Phenomenon (Li et al. 2022)",
    "random": "control",
}


@register("reproduction", "sparsity")
def reproduce_sparsity(folder: Path, config: ReproduceConfig, progress: Progress) -> Result:
    """Operating points and curves of loss against sparsity, of all layers together and of each alone.

    Read off the shipped dial, or (`from_scratch`) off a new one, which takes about half an hour of two cores.
    """
    source = shipped_folder() / "sparsity-dial"
    if config.from_scratch:
        source = config.save or folder / "dial"
        model, text = open_subject(MODEL, TEXT, progress=progress)
        dial(model, text, DIAL, progress=progress).save(source)
    found = Result.load(source)
    rows = found.tables["dial"]
    alone = [row for row in rows if row["layer"] is not None]
    notes = (f"one layer: only its neurons are silenced, on {alone[0]['n']} predicted tokens",) if alone else ()
    return Result(
        "reproduction",
        scalars=found.scalars,
        tables={
            SUMMARY: summary(*(_compared(row) for row in found.tables["operating_points"])),
            "operating points": found.tables["operating_points"],
            "rise of perplexity, all layers": _pivot([row for row in rows if row["layer"] is None], ("share",)),
            "rise of perplexity, one layer": _pivot(alone, ("layer", "share")),
            "curves": rows,
        },
        params={**found.params, "name": "sparsity"},
        inputs=found.inputs,
        notes=(*notes, *found.notes),
        seed=found.seed,
        partial=found.partial,
    )


def _compared(row: dict[str, Any]) -> Compared:
    """An operating point beside the paper's."""
    return Compared.of(
        row,
        "silent",
        paper=PAPERS[row["rule"]],
        what=f"silent neurons at a rise of perplexity of {row['perplexity_rise']:.0%}, {row['rule']}",
        published=row["paper"] or None,
        differs="SmolLM2-135M, gated SiLU, not trained to be sparse",
    )


def _pivot(rows: list[dict[str, Any]], keys: tuple[str, ...]) -> list[dict[str, Any]]:
    """A row for every value of the keys, a column for every rule."""
    made: dict[tuple, dict[str, Any]] = {}
    for row in rows:
        place = tuple(row[key] for key in keys)
        made.setdefault(place, dict(zip(keys, place, strict=True)))[row["rule"]] = row["perplexity_rise"]
    return [made[place] for place in sorted(made)]
