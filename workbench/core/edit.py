"""Edit: an intervention as a value. Models apply it; it knows no model."""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from .codes import Codes
from .errors import ConfigError, ShapeError
from .site import Site
from .tweak import Tweak, tweak_from_json

OPERATIONS = ("set", "add", "scale", "project_out", "freeze", "through")
Rows = str | tuple[int, ...] | Tensor


@runtime_checkable
class Codec(Protocol):
    """What `Edit.through` asks of a dictionary: encode at `reads`, decode to `writes`, plus a bypass term."""

    @property
    def name(self) -> str: ...
    @property
    def reads(self) -> tuple[Site, ...]: ...
    @property
    def writes(self) -> tuple[Site, ...]: ...
    def encode(self, inputs: Mapping[Site, Tensor]) -> Codes: ...
    def decode(self, codes: Codes) -> dict[Site, Tensor]: ...
    def bypass(self, inputs: Mapping[Site, Tensor]) -> dict[Site, Tensor]: ...


@dataclass(frozen=True)
class RowContext:
    """The absolute position of every row that a hook sees, and where each prompt ends.

    positions: [b, t], -1 at padding. prompt_lengths: [b], counted in absolute positions.
    """

    positions: Int[Tensor, "b t"]
    prompt_lengths: Int[Tensor, " b"]

    def select(self, rows: Rows) -> Bool[Tensor, "b t"]:
        """True where `rows` applies: all, prompt, generated, absolute positions, or a mask over them."""
        positions = self.positions
        real = positions >= 0
        if isinstance(rows, str):
            in_prompt = positions < self.prompt_lengths.to(positions.device)[:, None]
            return real & {"all": torch.ones_like(real), "prompt": in_prompt, "generated": ~in_prompt}[rows]
        if isinstance(rows, Tensor):
            mask = rows.to(positions.device)
            mask = mask if mask.ndim == 2 else mask[None]
            inside = real & (positions < mask.shape[1])
            picked = mask.expand(positions.shape[0], -1).gather(1, positions.clamp(0, mask.shape[1] - 1))
            return inside & picked
        return real & torch.isin(positions, torch.tensor(rows, dtype=positions.dtype, device=positions.device))


@dataclass(frozen=True)
class Edit:
    """Change the tensor at a Site on some absolute positions.

    Operations: `set` (to a value; patching from another run is `set` with that run's tensor), `add`,
    `scale`, `project_out` (remove a direction), `freeze` (keep the value, stop the gradient), `through`
    (replace by a codec's reconstruction). Several Edits at one Site apply in the order given.

    rows: "all", "prompt", "generated", a tuple of absolute positions, or a boolean mask [t] or [b, t].
    value: a float, a tensor that broadcasts against the last axes ([d], or [t, d] / [b, t, d] indexed by
    absolute position; [heads * d_head] at a site with heads), or None.
    """

    site: Site
    operation: str
    value: Tensor | float | None = None
    rows: Rows = "all"
    codec: Codec | None = None
    tweaks: tuple[Tweak, ...] = ()
    keep_error: bool = False
    factor: float = field(default=1.0)

    def __post_init__(self) -> None:
        if self.operation not in OPERATIONS:
            raise ConfigError(f"unknown edit {self.operation!r}", hint=f"operations: {', '.join(OPERATIONS)}")
        if isinstance(self.rows, str) and self.rows not in ("all", "prompt", "generated"):
            raise ConfigError(
                f"unknown rows {self.rows!r}",
                hint="use all, prompt, generated, a tuple of positions or a mask",
            )
        if self.operation == "through" and self.codec is None:
            raise ConfigError("an edit `through` needs a codec")
        if isinstance(self.rows, tuple) and any(row < 0 for row in self.rows):
            raise ConfigError(f"rows are absolute positions from 0, found {self.rows}")

    @classmethod
    def set(cls, site: Site | str, value: Tensor | float, rows: Rows = "all") -> "Edit":
        return cls(Site.parse(site), "set", value, rows)

    @classmethod
    def add(cls, site: Site | str, value: Tensor, rows: Rows = "all", factor: float = 1.0) -> "Edit":
        return cls(Site.parse(site), "add", value, rows, factor=factor)

    @classmethod
    def scale(cls, site: Site | str, factor: float, rows: Rows = "all") -> "Edit":
        return cls(Site.parse(site), "scale", None, rows, factor=factor)

    @classmethod
    def project_out(cls, site: Site | str, direction: Tensor, rows: Rows = "all") -> "Edit":
        return cls(Site.parse(site), "project_out", direction, rows)

    @classmethod
    def freeze(cls, site: Site | str, rows: Rows = "all") -> "Edit":
        return cls(Site.parse(site), "freeze", None, rows)

    @classmethod
    def through(
        cls, codec: Codec, tweaks: tuple[Tweak, ...] = (), rows: Rows = "all", keep_error: bool = False
    ) -> "Edit":
        """Replace the codec's `writes` by its reconstruction of `reads` (plus its own error if kept)."""
        return cls(codec.writes[0], "through", None, rows, codec, tuple(tweaks), keep_error)

    def apply(self, x: Tensor, context: RowContext) -> Tensor:
        """The edited tensor, same shape and dtype; every operation but `through`, which the model drives.

        Raises:
            ShapeError: the value does not broadcast against the tensor at the site.
        """
        selected = self._selection(x, context)
        try:
            new = self._new_value(x, context).expand_as(x)
        except (RuntimeError, IndexError):
            found = tuple(self.value.shape) if isinstance(self.value, Tensor) else self.value
            raise ShapeError(
                f"edit at {self.site} wants a value that fits {tuple(x.shape)}", found=f"found {found}"
            ) from None
        return torch.where(selected, new.to(x.dtype), x)

    def _selection(self, x: Tensor, context: RowContext) -> Tensor:
        mask = context.select(self.rows)
        axis = self.site.position_axis
        shape = [1] * x.ndim
        shape[0], shape[axis] = mask.shape
        mask = mask.reshape(shape).expand(x.shape)
        if self.site.head is None or (head_axis := self.site.head_axis) is None:
            return mask
        heads = torch.arange(x.shape[head_axis], device=x.device) == self.site.head
        shape = [1] * x.ndim
        shape[head_axis] = -1
        return mask & heads.reshape(shape)

    def _new_value(self, x: Tensor, context: RowContext) -> Tensor:
        if self.operation == "freeze":
            return x.detach()
        if self.operation == "scale":
            return x * self.factor
        value = self._by_head(torch.as_tensor(self.value, dtype=x.dtype, device=x.device), x)
        if self.operation == "project_out":
            unit = value / value.norm()
            return x - (x @ unit)[..., None] * unit
        value = self._at_positions(value, x, context)
        return x + self.factor * value if self.operation == "add" else value

    def _by_head(self, value: Tensor, x: Tensor) -> Tensor:
        """A vector as long as all heads side by side is one piece for each head."""
        axis, flat = self.site.head_axis, value.ndim == 1
        if axis != 2 or self.site.head is not None or not flat or len(value) != x.shape[2:].numel():
            return value
        return value.reshape(1, 1, *x.shape[2:])

    def _at_positions(self, value: Tensor, x: Tensor, context: RowContext) -> Tensor:
        """Values that carry a position axis are indexed by absolute position."""
        if self.site.head is not None and self.site.head_axis is not None and value.ndim >= x.ndim - 1:
            value = value.unsqueeze(self.site.head_axis - x.ndim + value.ndim + 1) if value.ndim < x.ndim else value
        has_positions = value.ndim == x.ndim or (value.ndim == x.ndim - 1 and value.ndim >= 2)
        if not has_positions or self.site.position_axis != 1:
            return value
        value = value if value.ndim == x.ndim else value[None]
        positions = context.positions.clamp(0, value.shape[1] - 1)
        batch = torch.arange(positions.shape[0], device=x.device)[:, None] if value.shape[0] > 1 else 0
        return value[batch, positions]

    def to_json(self) -> dict[str, Any]:
        """A JSON form; a codec is named, its weights stay in its artifact."""
        rows: Any = self.rows
        if isinstance(rows, Tensor):
            rows = {"mask": rows.int().tolist()}
        data: dict[str, Any] = {"site": str(self.site), "operation": self.operation, "rows": rows}
        if self.value is not None:
            data["value"] = _tensor_json(self.value) if isinstance(self.value, Tensor) else self.value
        if self.factor != 1.0:
            data["factor"] = self.factor
        if self.codec is not None:
            data["codec"], data["keep_error"] = self.codec.name, self.keep_error
            data["tweaks"] = [tweak.to_json() for tweak in self.tweaks]
        return data

    @classmethod
    def from_json(cls, data: dict[str, Any], codec: Callable[[str], Codec] | None = None) -> "Edit":
        """Read what `to_json` wrote; `codec` turns the name of a dictionary into the dictionary."""
        rows = data.get("rows", "all")
        if isinstance(rows, dict):
            rows = torch.tensor(rows["mask"], dtype=torch.bool)
        elif isinstance(rows, list):
            rows = tuple(rows)
        value = data.get("value")
        value = _tensor_from_json(value) if isinstance(value, dict) else value
        if "codec" in data and codec is None:
            raise ConfigError(f"this edit needs the dictionary {data['codec']!r}", hint="pass a way to load it")
        found = codec(data["codec"]) if codec and "codec" in data else None
        tweaks = tuple(tweak_from_json(tweak) for tweak in data.get("tweaks", ()))
        keep, factor = data.get("keep_error", False), data.get("factor", 1.0)
        return cls(Site.parse(data["site"]), data["operation"], value, rows, found, tweaks, keep, factor)


def _tensor_json(value: Tensor) -> dict[str, Any]:
    array = value.detach().cpu().float().contiguous().numpy().astype("<f4")
    return {"float32": base64.b64encode(array.tobytes()).decode(), "shape": list(array.shape)}


def _tensor_from_json(data: dict[str, Any]) -> Tensor:
    array = np.frombuffer(base64.b64decode(data["float32"]), dtype="<f4").reshape(data["shape"])
    return torch.from_numpy(array.copy())
