"""A training among those that a reproduction names; importing this loads no torch."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

from workbench.core import ConfigError, nearest


class Named(Protocol):
    """Settings of one training, with the name under which it is asked for."""

    name: str


Run = TypeVar("Run", bound=Named)


def named_run(runs: Sequence[Run], name: str) -> Run:
    """The run of that name.

    Raises:
        ConfigError: no such run; the nearest names are offered.
    """
    found = next((run for run in runs if run.name == name), None)
    if found is None:
        raise ConfigError(f"unknown run {name!r}", hint=nearest(name, [run.name for run in runs]))
    return found
