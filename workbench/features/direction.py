"""What a unit writes, as a file that other tools read."""

import json
from typing import Any

from safetensors.torch import save
from torch import Tensor

from workbench.core import Unit

from .bench import Bench, written_directions


def _directions(bench: Bench, unit: Unit) -> tuple[dict[str, Tensor], dict[str, str]]:
    rows = {str(site): row.cpu().contiguous() for site, row in written_directions(bench.member(unit), unit).items()}
    model = bench.model.ref
    told = {"unit": str(unit), "model": model.id, "weight_hash": model.weight_hash, "reads": str(unit.site)}
    return rows, told


def direction_file(bench: Bench, unit: Unit) -> bytes:
    """safetensors: one vector for every Site that the unit writes, per unit of its value; whose it is as metadata."""
    rows, told = _directions(bench, unit)
    return save(rows, told)


def direction_json(bench: Bench, unit: Unit) -> str:
    """The same as JSON; `writes` is Site -> vector."""
    rows, told = _directions(bench, unit)
    made: dict[str, Any] = {"schema": "workbench.direction/1", **told}
    return json.dumps({**made, "writes": {site: row.tolist() for site, row in rows.items()}}, indent=1)
