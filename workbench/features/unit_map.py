"""Every unit of a member as a point: those that write nearly the same lie together."""

from typing import Any

import torch

from workbench.core import Progress, Result, Silent
from workbench.dictionaries import planar

from .bench import Bench
from .feature_scan import FeatureScan
from .units import unit_of, written_rows


@torch.no_grad()
def unit_map(
    bench: Bench,
    member: str,
    scan: FeatureScan | None = None,
    method: str = "pca",
    seed: int = 0,
    progress: Progress | None = None,
) -> Result:
    """The units of a member laid out by what they write, dead ones left out where a scan tells.

    Args:
        method: `pca` or `t-sne` (see `dictionaries.planar`).

    Table `map`: unit, number, x, y, density, largest (None without a scan). Scalars: units, dead (left out).
    """
    progress = progress or Silent()
    progress.phase("laying out", None)
    rows = written_rows(bench.dictionaries[member])
    alive = torch.arange(len(rows))
    table = scan.table(member) if scan is not None and member in scan.members else None
    if table is not None:
        alive = (table["count"] > 0).nonzero()[:, 0]
    places = planar(rows[alive], "t-sne" if method == "t-sne" else "pca", seed)
    points: list[dict[str, Any]] = [
        {
            "unit": str(unit_of(bench.dictionaries, member, number)),
            "number": number,
            "x": x,
            "y": y,
            "density": float(table["density"][number]) if table else None,
            "largest": abs(float(table["largest"][number])) if table else None,
        }
        for number, (x, y) in zip(alive.tolist(), places.tolist(), strict=True)
    ]
    told = "the two directions of largest variance" if method != "t-sne" else "t-SNE in cosine distance"
    return Result(
        "unit map",
        {"units": float(len(alive)), "dead": float(len(rows) - len(alive))},
        {"map": points},
        params={"member": member, "method": method},
        inputs=scan.inputs() if scan else {},
        notes=(f"By what each unit writes, lengths left out: {told}. {len(rows) - len(alive):,} dead units left out.",),
        seed=seed,
    )
