"""Units that people pinned: kept in the workspace in the order of pinning, offered on the page about units."""

from workbench.core import ConfigError, Unit

from . import state

ID = "pinned-units"
MOST = 100


def units() -> list[Unit]:
    """What is pinned, first to last; an address that this version cannot read is left out."""
    view = state.database().view(ID)
    found = []
    for text in view.state.get("units", []) if view else []:
        try:
            found.append(Unit.parse(str(text)))
        except ConfigError:
            continue
    return found


def switch(unit: Unit) -> None:
    """Pin a unit, or let it go if it is pinned."""
    held = units()
    kept = [other for other in held if other != unit] if unit in held else [*held, unit]
    state.database().save_view(ID, "units", {"units": [str(other) for other in kept[-MOST:]]})
