"""Result: what every analysis, probe and benchmark returns."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from . import registry
from .artifact import read_artifact, write_artifact
from .manifest import Manifest


@dataclass(frozen=True)
class Result:
    """Numbers, tables and arrays with where they came from; it holds data and draws nothing itself.

    Attributes:
        kind: names the analysis (`evaluation`, `logit_lens`, ...) and selects the figure renderer.
        scalars: name -> number; units belong into the name or into `notes`.
        tables: name -> list of records, one observation per row, plain column names.
        arrays: name -> numpy array for figures.
        params: the settings that made it; inputs: name -> content hash of what it was made from.
        notes: one sentence each: definitions, masks, limits. partial: the work was interrupted.
    """

    kind: str
    scalars: dict[str, float] = field(default_factory=dict)
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    params: dict[str, Any] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    seed: int | None = None
    partial: bool = False

    @property
    def id(self) -> str:
        """Content hash, 12 hex digits."""
        digest = hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode())
        for name in sorted(self.arrays):
            digest.update(name.encode() + np.ascontiguousarray(self.arrays[name]).tobytes())
        return digest.hexdigest()[:12]

    def df(self, table: str | None = None) -> pd.DataFrame:
        """One table as a tidy DataFrame; without a name, the first."""
        name = table or next(iter(self.tables), None)
        if name not in self.tables:
            raise KeyError(f"this {self.kind} has no table {name!r}; it has {sorted(self.tables)}")
        return pd.DataFrame(self.tables[name])

    def fig(self, name: str | None = None) -> Any:
        """A plotly Figure by the renderer registered for this kind (or `name`); nothing is shown."""
        return registry.get("figure", name or self.kind)(self)

    def _repr_html_(self) -> str:
        return registry.get("html", "result")(self)

    def __repr__(self) -> str:
        numbers = ", ".join(f"{key}={value:.4g}" for key, value in list(self.scalars.items())[:4])
        flag = ", partial" if self.partial else ""
        return f"Result({self.kind}: {numbers}{flag})"

    def to_json(self) -> dict[str, Any]:
        """Everything but the arrays, as JSON data (non-finite numbers become None)."""
        data = {
            "kind": self.kind,
            "scalars": self.scalars,
            "tables": self.tables,
            "params": self.params,
            "inputs": self.inputs,
            "notes": list(self.notes),
            "seed": self.seed,
            "partial": self.partial,
        }
        return as_json(data)

    def save(self, folder: Path) -> None:
        """Write as an artifact of kind `result`."""
        arrays = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in self.arrays.items()}
        manifest = Manifest(kind="result", name=folder.name, seed=self.seed, partial=self.partial)
        write_artifact(folder, manifest, arrays or None, {"result.json": self.to_json()})

    @classmethod
    def load(cls, folder: Path) -> "Result":
        """Read what `save` wrote."""
        artifact = read_artifact(folder, "result")
        data = artifact.json("result.json")
        has_arrays = (folder / "tensors.safetensors").exists()
        arrays = {name: t.numpy() for name, t in artifact.tensors().items()} if has_arrays else {}
        return cls(**{**data, "notes": tuple(data["notes"]), "arrays": arrays})


def as_json(value: Any) -> Any:
    """JSON data: numpy scalars become Python's, non-finite numbers None."""
    if isinstance(value, Mapping):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
