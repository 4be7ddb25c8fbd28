"""What stands in one MLP's place in the local replacement model of a prompt."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True)
class LayerUnits:
    """The active units that read one MLP's input, the affine path, and the error that is left of its output.

    mlp_out[t] = what units of this and earlier layers write here at t + included[t] * (skip @ mlp_in[t] + constant)
    + error[t]. Units are ordered by position. `skip` is [d_out, d_in] or None. Where `included` is False the whole MLP
    output is the error.

    Attributes:
        kind: of the nodes: feature, neuron or code.
        readers, reader_bias: pre_activation = readers . mlp_in + reader_bias.
        slope: a unit's value moves by this much per unit of its pre-activation while its gate is held.
        writers: layer -> what each unit writes to that MLP's output per unit of its value; this layer or later.
    """

    layer: int
    name: str
    kind: str
    included: Bool[Tensor, " t"]
    position: Int[Tensor, " m"]
    index: Int[Tensor, " m"]
    activation: Float[Tensor, " m"]
    pre_activation: Float[Tensor, " m"]
    readers: Float[Tensor, "m d"]
    reader_bias: Float[Tensor, " m"]
    slope: float
    writers: Mapping[int, Float[Tensor, "m d"]]
    skip: Float[Tensor, "d_out d_in"] | None
    constant: Float[Tensor, " d"]
    error: Float[Tensor, "t d"]

    def __len__(self) -> int:
        return len(self.position)

    def writes(self, layer: int) -> Float[Tensor, "m d"]:
        """What each unit adds to an MLP's output at its position."""
        return self.activation[:, None] * self.writers[layer]

    def affine(self, mlp_in: Float[Tensor, "n t d"], constants: bool = True) -> Float[Tensor, "n t d"]:
        """The affine path at the included positions, zero elsewhere; its linear part without `constants`."""
        constant = self.constant if constants else torch.zeros_like(self.constant)
        out = constant if self.skip is None else mlp_in @ self.skip.T + constant
        return out * self.included.to(out.dtype)[:, None].expand(*mlp_in.shape[:2], 1)

    def values(self, mlp_in: Float[Tensor, "n t d"], constants: bool = True) -> Float[Tensor, "n m"]:
        """Every unit's value with its gate held: the active set stays, each follows its pre-activation by `slope`."""
        found = mlp_in.new_zeros(len(mlp_in), len(self))
        for place, (first, last) in self.by_position():
            found[:, first:last] = self.slope * (mlp_in[:, place] @ self.readers[first:last].T)
        if not constants:
            return found
        return found + self.activation - self.slope * (self.pre_activation - self.reader_bias)

    def written(self, values: Float[Tensor, "n m"], layer: int) -> Float[Tensor, "n t d"]:
        """What units of these values write to an MLP's output."""
        writers = self.writers[layer]
        out = values.new_zeros(len(values), len(self.included), writers.shape[1])
        for place, (first, last) in self.by_position():
            out[:, place] = values[:, first:last] @ writers[first:last]
        return out

    def by_position(self) -> Iterator[tuple[int, tuple[int, int]]]:
        """The range of units at each position that has any."""
        places = torch.arange(len(self.included) + 1, device=self.position.device)
        for place, bounds in enumerate(pairwise(torch.searchsorted(self.position, places).tolist())):
            if bounds[0] < bounds[1]:
                yield place, bounds


class HeldPass:
    """What MLPs write while units follow with gates held, without errors; called layer by layer from the first.

    A unit that writes to later layers is remembered until they are met. Without `constants` it carries differences.
    """

    def __init__(self, layers: tuple[LayerUnits, ...], constants: bool = True) -> None:
        self.layers, self.constants = layers, constants
        self._later: dict[int, Tensor] = {}

    def __call__(self, layer: int, mlp_in: Float[Tensor, "n t d"]) -> Float[Tensor, "n t d"]:
        if layer == 0:
            self._later = {}
        units = self.layers[layer]
        out = units.affine(mlp_in, self.constants)
        if len(units):
            values = units.values(mlp_in, self.constants)
            for target in units.writers:
                written = units.written(values, target)
                self._later[target] = self._later[target] + written if target in self._later else written
        return out + self._later.pop(layer, 0.0)


class ConstantPass:
    """What MLPs write while every unit keeps its value, without errors: only the affine path follows its input.

    This is what an edge of the graph is measured under.
    """

    def __init__(self, layers: tuple[LayerUnits, ...]) -> None:
        self.layers = layers
        self._fixed = [torch.zeros_like(units.error) for units in layers]
        for units in layers:
            for target in units.writers if len(units) else ():
                self._fixed[target].index_add_(0, units.position, units.writes(target))

    def __call__(self, layer: int, mlp_in: Float[Tensor, "n t d"]) -> Float[Tensor, "n t d"]:
        return self.layers[layer].affine(mlp_in) + self._fixed[layer]
