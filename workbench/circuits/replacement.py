"""The local replacement model of one prompt: dictionaries in the MLPs' places, errors held constant."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from workbench.core import Codes, ConfigError, Site, position_mask
from workbench.dictionaries import Dictionary, DictionarySet
from workbench.models import FrozenModel, HookedModel


@dataclass(frozen=True)
class LayerUnits:
    """What stands in one MLP's place: active units, an affine path, and the error that is left.

    mlp_out[t] = sum of activation * writers at t + included[t] * (skip @ mlp_in[t] + constant) + error[t].
    Units are ordered by position. `skip` is [d_out, d_in] or None. Where `included` is False the whole MLP output is
    the error.
    """

    layer: int
    name: str
    included: Bool[Tensor, " t"]
    position: Int[Tensor, " m"]
    index: Int[Tensor, " m"]
    activation: Float[Tensor, " m"]
    pre_activation: Float[Tensor, " m"]
    readers: Float[Tensor, "m d"]
    reader_bias: Float[Tensor, " m"]
    writers: Float[Tensor, "m d"]
    skip: Float[Tensor, "d_out d_in"] | None
    constant: Float[Tensor, " d"]
    error: Float[Tensor, "t d"]

    def __len__(self) -> int:
        return len(self.position)

    @property
    def writes(self) -> Float[Tensor, "m d"]:
        """What each unit adds to the residual stream at its position."""
        return self.activation[:, None] * self.writers

    def affine(self, mlp_in: Float[Tensor, "n t d"]) -> Float[Tensor, "n t d"]:
        """The affine path at the included positions, zero elsewhere."""
        out = self.constant if self.skip is None else mlp_in @ self.skip.T + self.constant
        return out * self.included.to(out.dtype)[:, None].expand(*mlp_in.shape[:2], 1)

    def held(self, mlp_in: Float[Tensor, "n t d"], constants: bool = True) -> Float[Tensor, "n t d"]:
        """Affine path and units with their gates held, without the error.

        A held gate keeps the active set; each active unit follows its pre-activation with slope 1. Without
        `constants` this is the linear part: it carries differences.
        """
        out = self.affine(mlp_in)
        if not constants:
            out = out - self.constant * self.included[:, None]
        offset = self.reader_bias + (self.activation - self.pre_activation)
        bounds = torch.searchsorted(self.position, torch.arange(mlp_in.shape[1] + 1, device=mlp_in.device)).tolist()
        for place, (first, last) in enumerate(pairwise(bounds)):
            if first < last:
                value = mlp_in[:, place] @ self.readers[first:last].T + float(constants) * offset[first:last]
                out[:, place] += value @ self.writers[first:last]
        return out


@dataclass(frozen=True)
class LocalReplacement:
    """A frozen run with one `LayerUnits` per layer."""

    frozen: FrozenModel
    layers: tuple[LayerUnits, ...]

    @property
    def n_units(self) -> int:
        return sum(len(units) for units in self.layers)

    def constants(self) -> tuple[list[Float[Tensor, "t d"]], Float[Tensor, "t d"]]:
        """Every mlp_in and the final norm's output with all sources (tokens, units, errors) at zero."""
        return self._forward(lambda units, mlp_in: units.affine(mlp_in))

    def bias_run(self) -> Float[Tensor, "t d"]:
        """The final norm's output with tokens and errors at zero, units following with held gates."""
        return self._forward(lambda units, mlp_in: units.held(mlp_in))[1]

    def _forward(self, mlp: Callable[[LayerUnits, Tensor], Tensor]) -> tuple[list[Tensor], Tensor]:
        seen: list[Tensor] = []

        def write(layer: int, mlp_in: Tensor) -> Tensor:
            seen.append(mlp_in[0])
            return mlp(self.layers[layer], mlp_in)

        start = torch.zeros_like(self.frozen.embed)[None]
        return seen, self.frozen.forward(start, write)[0]


def replace_mlps(model: HookedModel, frozen: FrozenModel, dictionaries: DictionarySet) -> LocalReplacement:
    """Encode the observed MLP inputs and put units, affine path and error in each MLP's place.

    Raises:
        ConfigError: a dictionary reads or writes elsewhere, has no linear reading, or is not affine in its codes.
    """
    special = () if model.tokenizer is None else model.tokenizer.special_ids
    mask = position_mask(frozen.tokens[None], model.policy, special)[0].to(frozen.embed.device)
    by_layer: dict[int, Dictionary] = {}
    for dictionary in dictionaries.values():
        if (layer := _layer_of(dictionary)) in by_layer:
            raise ConfigError(
                f"a graph wants one dictionary for each layer, found several at layer {layer}",
                hint="take one member of the sweep for each layer",
            )
        by_layer[layer] = dictionary
    if beyond := [layer for layer in by_layer if layer >= frozen.n_layers]:
        raise ConfigError(f"dictionaries for layers {beyond}", found=f"the model has {frozen.n_layers} layers")
    layers = [_replace(frozen, layer, by_layer.get(layer), mask) for layer in range(frozen.n_layers)]
    return LocalReplacement(frozen, tuple(layers))


def _layer_of(dictionary: Dictionary) -> int:
    reads, writes = dictionary.reads, dictionary.writes
    if len(reads) == len(writes) == 1:
        layer = reads[0].layer
        if layer is not None and (reads[0], writes[0]) == (Site("mlp_in", layer), Site("mlp_out", layer)):
            return layer
    if dictionary.spans_layers:
        raise ConfigError(
            f"{dictionary.name!r} cannot be a node of a graph yet",
            found=f"features of a {dictionary.family} write to several layers",
            hint="use a transcoder for each layer",
        )
    found = f"{dictionary.name!r} reads {[str(s) for s in reads]} and writes {[str(s) for s in writes]}"
    raise ConfigError("a graph wants dictionaries that read mlp_in and write mlp_out of one layer", found=found)


def _replace(frozen: FrozenModel, layer: int, dictionary: Dictionary | None, mask: Tensor) -> LayerUnits:
    mlp_in, mlp_out = frozen.mlp_in[layer], frozen.mlp_out[layer]
    if dictionary is None or not mask.any():
        return _no_units(layer, mlp_in, mlp_out)
    read, write = Site("mlp_in", layer), Site("mlp_out", layer)
    example = next(iter(dictionary.parameters()), mlp_in)
    x = mlp_in[mask].to(example)
    with torch.no_grad():
        codes = dictionary.encode({read: x}).padded()
        rows = torch.nonzero(codes.value, as_tuple=True)
        active = Codes(codes.index[rows][:, None], codes.value[rows][:, None], codes.width)
        readers = dictionary.readers(active)
        if readers is None:
            raise ConfigError(
                f"{dictionary.name!r} cannot be a node of a graph",
                found=f"units of the family {dictionary.family!r} are not read linearly",
                hint="use a transcoder",
            )
        writers = dictionary.writers(active.index[:, 0])[write]
        empty = Codes(codes.index[:1, :1] * 0, codes.value[:1, :1] * 0, codes.width)
        constant = dictionary.decode(empty)[write][0] + dictionary.bypass({read: torch.zeros_like(x[:1])})[write][0]
        rebuilt = dictionary.decode(codes)[write] + dictionary.bypass({read: x})[write]
    position = torch.nonzero(mask)[:, 0][rows[0].to(mask.device)]
    reader_rows, reader_bias = readers.rows.detach().to(mlp_in), readers.bias.detach().to(mlp_in)
    units = LayerUnits(
        layer=layer,
        name=dictionary.name,
        included=mask,
        position=position,
        index=active.index[:, 0].to(position),
        activation=active.value[:, 0].to(mlp_in),
        pre_activation=(mlp_in[position] * reader_rows).sum(-1) + reader_bias,
        readers=reader_rows,
        reader_bias=reader_bias,
        writers=writers.detach().to(mlp_in),
        skip=_linear_part(dictionary, x, read, write, mlp_in),
        constant=constant.to(mlp_in),
        error=mlp_out,
    )
    return _with_error(units, mlp_in, mlp_out, rebuilt.to(mlp_in))


def _no_units(layer: int, mlp_in: Tensor, mlp_out: Tensor) -> LayerUnits:
    none, rows, zero = mlp_in.new_zeros(0), mlp_in.new_zeros(0, mlp_in.shape[1]), mlp_in.new_zeros(mlp_in.shape[1])
    nobody = torch.zeros(0, dtype=torch.long, device=mlp_in.device)
    included = torch.zeros(len(mlp_in), dtype=torch.bool, device=mlp_in.device)
    return LayerUnits(layer, "", included, nobody, nobody, none, none, rows, none, rows, None, zero, mlp_out)


def _linear_part(dictionary: Dictionary, x: Tensor, read: Site, write: Site, like: Tensor) -> Tensor | None:
    """The matrix of the bypass, exactly: the gradient of an affine map is its matrix."""
    with torch.enable_grad():
        zeros = torch.zeros_like(x[:1]).expand(x.shape[1], -1).clone().requires_grad_()
        out = dictionary.bypass({read: zeros})[write]
        if not out.requires_grad:
            return None
        (matrix,) = torch.autograd.grad(out, zeros, torch.eye(len(zeros)).to(x), allow_unused=True)
    return None if matrix is None or not matrix.any() else matrix.to(like)


def _with_error(units: LayerUnits, mlp_in: Tensor, mlp_out: Tensor, rebuilt: Tensor) -> LayerUnits:
    parts = units.affine(mlp_in[None])[0].index_add(0, units.position, units.writes)
    gap = (parts[units.included] - rebuilt).norm() / rebuilt.norm().clamp(min=1e-12)
    if gap > 1e-3:
        raise ConfigError(
            f"{units.name!r} is not a sum of written rows and an affine path",
            found=f"the parts miss its output by {gap:.2g} of its norm",
        )
    return LayerUnits(**{**units.__dict__, "error": mlp_out - parts})
