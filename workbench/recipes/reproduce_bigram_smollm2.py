"""What was measured of SmolLM2's own bigrams, as it is shipped: the mask itself is too large to ship."""

from pathlib import Path
from typing import Any

from workbench.core import Result
from workbench.workspace import shipped_folder

from .reproduce_summary import Compared

_DIFFERS = "SmolLM2 135M, 300,000 tokens of mask training, its own bigrams; theirs Pythia 160M, a corpus"


def shipped_judgement() -> Path:
    """Where the judgement of the mask lies in the package: a Result of `bigram evaluate`."""
    return shipped_folder() / "subnetworks" / "smollm2-own-bigrams"


def smollm2_tables() -> dict[str, list[dict[str, Any]]]:
    """The variants' answers, what is lost without them, where the mask lives, and the training; {} if not shipped."""
    if not shipped_judgement().is_dir():
        return {}
    judged = Result.load(shipped_judgement())
    shares = {"full model": 1.0, "embeddings only": 0.0}
    rows = [
        {"variant": row["variant"], "kept_share": shares.get(row["variant"], judged.scalars["share"]), **row}
        for row in judged.tables["answers"]
    ]
    others = ("removed", "removal", "blocks", "rotation", "training")
    return {"smollm2": rows} | {f"smollm2 {name}": judged.tables[name] for name in others if name in judged.tables}


def smollm2_lines(paper: str, full: float, selected: float) -> list[Compared]:
    """r of SmolLM2 and of its mask beside published values."""
    if not shipped_judgement().is_dir():
        return []
    rows = {row["variant"]: row for row in Result.load(shipped_judgement()).tables["answers"]}
    wanted = (("full model", "SmolLM2", full), ("subnetwork", "mask of SmolLM2", selected))
    return [
        Compared.of(
            rows[variant], "r", paper=paper, what=f"r with own bigrams, {what}", published=value, differs=_DIFFERS
        )
        for variant, what, value in wanted
    ]
