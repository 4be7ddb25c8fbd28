"""The local replacement model of one prompt: dictionaries in the MLPs' places, errors held constant."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from workbench.core import Codes, ConfigError, Site, position_mask
from workbench.dictionaries import Dictionary, DictionarySet
from workbench.models import FrozenModel, HookedModel

from .units import HeldPass, LayerUnits


@dataclass(frozen=True)
class LocalReplacement:
    """A frozen run with one `LayerUnits` per layer; `no_nodes` says of a dictionary why its units are no nodes."""

    frozen: FrozenModel
    layers: tuple[LayerUnits, ...]
    no_nodes: Mapping[str, str] = field(default_factory=dict)

    @property
    def n_units(self) -> int:
        return sum(len(units) for units in self.layers)

    def writing(self, layer: int) -> list[LayerUnits]:
        """The layers whose units write to an MLP's output, from the first on."""
        return [units for units in self.layers[: layer + 1] if layer in units.writers and len(units)]

    def constants(self) -> tuple[list[Float[Tensor, "t d"]], Float[Tensor, "t d"]]:
        """Every mlp_in and the final norm's output with all sources (tokens, units, errors) at zero."""
        seen: list[Tensor] = []

        def write(layer: int, mlp_in: Tensor) -> Tensor:
            seen.append(mlp_in[0])
            return self.layers[layer].affine(mlp_in)

        start = torch.zeros_like(self.frozen.embed)[None]
        return seen, self.frozen.forward(start, write)[0]

    def bias_run(self) -> Float[Tensor, "t d"]:
        """The final norm's output with tokens and errors at zero, units following with held gates."""
        start = torch.zeros_like(self.frozen.embed)[None]
        return self.frozen.forward(start, HeldPass(self.layers))[0]


def replace_mlps(model: HookedModel, frozen: FrozenModel, dictionaries: DictionarySet) -> LocalReplacement:
    """Encode the observed MLP inputs and put units, affine path and error in each MLP's place.

    A dictionary whose units are not read linearly stays out: its MLPs are errors as a whole, and `no_nodes` says so.

    Raises:
        ConfigError: dictionaries that read or write elsewhere, write before they read, share a layer, or are not
            affine in their codes; no dictionary at all can be read linearly.
    """
    special = () if model.tokenizer is None else model.tokenizer.special_ids
    mask = position_mask(frozen.tokens[None], model.policy, special)[0].to(frozen.embed.device)
    served: set[int] = set()
    parts: dict[int, LayerUnits] = {}
    no_nodes: dict[str, str] = {}
    for key, dictionary in dictionaries.items():
        if dictionary.unread:
            no_nodes[key] = dictionary.unread
            continue
        layers = _layers_of(dictionary)
        if shared := served & set(layers):
            raise ConfigError(
                f"a graph wants one dictionary for each layer, found several at layer {min(shared)}",
                hint="take one member of the sweep for each layer",
            )
        served |= set(layers)
        if beyond := [layer for layer in layers if layer >= frozen.n_layers]:
            raise ConfigError(f"dictionaries for layers {beyond}", found=f"the model has {frozen.n_layers} layers")
        if mask.any():
            found = _encode(frozen, dictionary, layers, mask)
            if found is None:
                no_nodes[key] = f"units of the family {dictionary.family!r} are not read linearly"
            else:
                parts |= found
    if len(no_nodes) == len(dictionaries) > 0:
        reason = next(iter(no_nodes.values()))
        raise ConfigError(f"{dictionaries.name!r} cannot be nodes of a graph", found=reason, hint="use transcoders")
    whole = [parts.get(layer) or _no_units(layer, frozen) for layer in range(frozen.n_layers)]
    return LocalReplacement(frozen, tuple(whole), no_nodes)


def _layers_of(dictionary: Dictionary) -> list[int]:
    """The layers whose MLPs a dictionary stands for."""
    reads, writes = dictionary.reads, dictionary.writes
    layers = [site.layer for site in reads if site.layer is not None]
    wanted = [(Site("mlp_in", layer), Site("mlp_out", layer)) for layer in layers]
    if len(reads) == len(writes) and list(zip(reads, writes, strict=True)) == wanted:
        return layers
    raise ConfigError(
        "a graph wants dictionaries that read mlp_in and write mlp_out of the same layers",
        found=f"{dictionary.name!r} reads {[str(s) for s in reads]} and writes {[str(s) for s in writes]}",
    )


def _encode(
    frozen: FrozenModel, dictionary: Dictionary, layers: list[int], mask: Bool[Tensor, " t"]
) -> dict[int, LayerUnits] | None:
    """What a dictionary puts in the place of each of its layers' MLPs; None if it is not read linearly."""
    example = next(iter(dictionary.parameters()), frozen.mlp_in)
    inputs = {Site("mlp_in", layer): frozen.mlp_in[layer][mask].to(example) for layer in layers}
    with torch.no_grad():
        paths = _affine_paths(dictionary, inputs, frozen.mlp_in)
        found: dict[int, LayerUnits] = {}
        for layer in layers:
            units = _units(frozen, dictionary, layer, inputs, mask, paths[layer])
            if units is None:
                return None
            found[layer] = units
        rebuilt = dictionary(inputs)
    return {
        layer: replace(units, error=_error(found, layer, frozen, rebuilt[Site("mlp_out", layer)]))
        for layer, units in found.items()
    }


class _Path(NamedTuple):
    skip: Float[Tensor, "d_out d_in"] | None
    constant: Float[Tensor, " d"]


def _units(
    frozen: FrozenModel,
    dictionary: Dictionary,
    layer: int,
    inputs: Mapping[Site, Tensor],
    mask: Bool[Tensor, " t"],
    path: _Path,
) -> LayerUnits | None:
    """The active units that read one layer, their error still to be found."""
    mlp_in, read = frozen.mlp_in[layer], Site("mlp_in", layer)
    codes = dictionary.encode({read: inputs[read]}).padded()
    rows = torch.nonzero(codes.value, as_tuple=True)
    active = Codes(codes.index[rows][:, None], codes.value[rows][:, None], codes.width)
    readers = dictionary.readers(active, {read: inputs[read][rows[0]]})
    if readers is None:
        return None
    position = torch.nonzero(mask)[:, 0][rows[0].to(mask.device)]
    reader_rows, reader_bias = readers.rows.detach().to(mlp_in), readers.bias.detach().to(mlp_in)
    return LayerUnits(
        layer=layer,
        name=dictionary.name,
        kind=dictionary.unit_kind,
        included=mask,
        position=position,
        index=active.index[:, 0].to(position),
        activation=active.value[:, 0].to(mlp_in),
        pre_activation=(mlp_in[position] * reader_rows).sum(-1) + reader_bias,
        readers=reader_rows,
        reader_bias=reader_bias,
        slope=readers.slope,
        writers=_writers(dictionary, active.index[:, 0], layer, mlp_in),
        skip=path.skip,
        constant=path.constant,
        error=frozen.mlp_out[layer],
    )


def _writers(dictionary: Dictionary, index: Tensor, layer: int, like: Tensor) -> dict[int, Tensor]:
    """Layer -> written rows, its own layer first."""
    found: dict[int, Tensor] = {}
    for site, rows in dictionary.writers(index).items():
        assert site.layer is not None
        if site.layer >= layer:
            found[site.layer] = rows.detach().to(like)
        elif rows.any():
            raise ConfigError(f"{dictionary.name!r} writes {site} before it reads layer {layer}")
    return found


def _affine_paths(dictionary: Dictionary, inputs: Mapping[Site, Tensor], like: Tensor) -> dict[int, _Path]:
    """Matrix and constant of what passes beside the units, layer by layer: an affine map at the axes and at zero."""
    some = next(iter(inputs.values()))
    zero = {site: torch.zeros_like(rows[:1]) for site, rows in inputs.items()}
    axes = {site: torch.eye(rows.shape[1], dtype=rows.dtype, device=rows.device) for site, rows in inputs.items()}
    places = (1, min(1, dictionary.width))
    empty = Codes(torch.zeros(places, dtype=torch.long, device=some.device), some.new_zeros(places), dictionary.width)
    decoded, at_zero, at_axes = dictionary.decode(empty), dictionary.bypass(zero), dictionary.bypass(axes)
    found = {}
    for site in dictionary.writes:
        assert site.layer is not None
        matrix = (at_axes[site] - at_zero[site]).T
        skip = matrix.detach().to(like) if matrix.any() else None
        found[site.layer] = _Path(skip, (decoded[site] + at_zero[site])[0].detach().to(like))
    return found


def _error(found: Mapping[int, LayerUnits], layer: int, frozen: FrozenModel, rebuilt: Tensor) -> Float[Tensor, "t d"]:
    """What units and affine path leave of an MLP's output.

    Raises:
        ConfigError: they do not add up to the dictionary's own output.
    """
    units = found[layer]
    parts = units.affine(frozen.mlp_in[layer][None])[0]
    for earlier in found.values():
        if layer in earlier.writers:
            parts = parts.index_add(0, earlier.position, earlier.writes(layer))
    gap = (parts[units.included] - rebuilt.to(parts)).norm() / rebuilt.norm().clamp(min=1e-12)
    if gap > 1e-3:
        raise ConfigError(
            f"{units.name!r} is not a sum of written rows and an affine path",
            found=f"the parts miss its output by {gap:.2g} of its norm",
        )
    return frozen.mlp_out[layer] - parts


def _no_units(layer: int, frozen: FrozenModel) -> LayerUnits:
    like = frozen.mlp_in[layer]
    none, rows, zero = like.new_zeros(0), like.new_zeros(0, like.shape[1]), like.new_zeros(like.shape[1])
    nobody = torch.zeros(0, dtype=torch.long, device=like.device)
    included = torch.zeros(len(like), dtype=torch.bool, device=like.device)
    parts = (included, nobody, nobody, none, none, rows, none, 1.0, {layer: rows}, None, zero)
    return LayerUnits(layer, "", "feature", *parts, frozen.mlp_out[layer])
