"""New dictionaries: one kind in many layers, or several kinds and settings side by side at the same sites."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from workbench.core import Config, ConfigError, Site, get

from .base import Dictionary
from .collection import DictionarySet, site_name

Wanted = tuple[str, Config | None]
"""A family and its settings (None: the defaults)."""


def new_set(
    wanted: Sequence[Wanted],
    size: Callable[[Site], int],
    *,
    layers: Iterable[int] = (),
    sites: Sequence[Site] = (),
    name: str = "",
) -> DictionarySet:
    """New dictionaries of every wanted kind: at the kind's own Sites in these layers, or at `sites`.

    A kind that spans layers gives one dictionary for all of them. Members are called by what they read and, where
    several kinds are wanted, by what sets each apart: `mlp_in.3`, `mlp_in.3-k16`, `resid_post.2-topk-sae`.

    Args:
        size: how long the vectors of a Site are (`model.shape.row_size`).
        sites: for autoencoders only, which write where they read.

    Raises:
        ConfigError: unknown family, settings of another kind, two equal members, or sites for a transcoder.
    """
    members: dict[str, Dictionary] = {}
    layers, labels = tuple(layers), _labels(wanted)
    for (family, config), label in zip(wanted, labels, strict=True):
        kind: type[Dictionary] = get("dictionary", family)
        for reads, writes in _places(kind, layers, sites):
            made = kind(config or kind.config_class(), _sized(reads, size), _sized(writes, size))
            key = site_name(made) + label
            if key in members:
                raise ConfigError(
                    f"two of the wanted dictionaries are called {key}", hint="let them differ in something"
                )
            made.name = f"{name}/{key}" if name else key
            members[key] = made
    return DictionarySet(members, name)


def dictionaries_for_layers(
    family: str, layers: Iterable[int], d_model: int, config: Config | None = None, name: str = ""
) -> DictionarySet:
    """New dictionaries of a family at its own Sites, which all have size `d_model`.

    Raises:
        ConfigError: unknown family or settings of another kind.
    """
    return new_set([(family, config)], lambda site: d_model, layers=layers, name=name)


def _places(
    kind: type[Dictionary], layers: Sequence[int], sites: Sequence[Site]
) -> list[tuple[tuple[Site, ...], tuple[Site, ...]]]:
    if kind.spans_layers and not sites:
        return [kind.default_sites(*layers)]
    reads, writes = kind.default_sites(0)
    if sites and reads != writes:
        raise ConfigError(f"a {kind.family} cannot be put at {sites[0]}", hint="name its layers; sites are for SAEs")
    return [((site,), (site,)) for site in sites] or [kind.default_sites(layer) for layer in layers]


def _sized(sites: Iterable[Site], size: Callable[[Site], int]) -> dict[Site, int]:
    return {site: size(site) for site in sites}


def _labels(wanted: Sequence[Wanted]) -> list[str]:
    """For each kind what sets it apart from the others: its family, and the settings in which they differ."""
    described = []
    for family, config in wanted:
        values = (config or get("dictionary", family).config_class()).model_dump()
        described.append({"family": family, **values})
    keys = dict.fromkeys(key for one in described for key in one)
    apart = [key for key in keys if len({repr(one[key]) for one in described if key in one}) > 1]
    return ["".join(f"-{_part(key, one[key])}" for key in apart if key in one) for one in described]


def _part(key: str, value: Any) -> str:
    if key == "family":
        return value
    shown = "+".join(map(str, value)) if isinstance(value, tuple) else f"{value:g}" if _number(value) else str(value)
    return f"{key}{shown}"


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
