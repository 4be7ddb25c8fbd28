"""One registry for every kind of plug-in: dictionaries, gates, tasks, figures, probes.

The hall names, per kind, the modules that register things; they are imported at the first look-up, so
that registering needs no upward import and start-up stays fast.
"""

import importlib
from collections.abc import Callable
from typing import Any, TypeVar

from .errors import ConfigError, nearest

T = TypeVar("T")

_entries: dict[str, dict[str, Any]] = {}
_providers: dict[str, list[str]] = {}


def provide(kind: str, *modules: str) -> None:
    """Name modules to import before the first look-up of `kind`."""
    _providers.setdefault(kind, []).extend(module for module in modules if module not in _providers.get(kind, []))


def register(kind: str, name: str) -> Callable[[T], T]:
    """Decorator: make an object known as `name` among the `kind`s.

    Raises:
        ValueError: another object has that name.
    """

    def add(thing: T) -> T:
        entries = _entries.setdefault(kind, {})
        if name in entries and entries[name] is not thing:
            raise ValueError(f"{kind} {name!r} is registered twice")
        entries[name] = thing
        return thing

    return add


def _load(kind: str) -> dict[str, Any]:
    for module in _providers.pop(kind, []):
        importlib.import_module(module)
    return _entries.get(kind, {})


def get(kind: str, name: str) -> Any:
    """The object registered under a name.

    Raises:
        ConfigError: no such name; the nearest ones are offered.
    """
    entries = _load(kind)
    if name not in entries:
        raise ConfigError(f"unknown {kind} {name!r}", hint=nearest(name, entries))
    return entries[name]


def names(kind: str) -> tuple[str, ...]:
    """Every registered name of a kind, sorted."""
    return tuple(sorted(_load(kind)))
