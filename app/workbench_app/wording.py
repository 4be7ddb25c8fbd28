"""Numbers as people read them."""

import json
import math
from collections.abc import Mapping
from typing import Any

from . import comfort


def size(count: float) -> str:
    """Bytes with a unit: 3 significant digits, powers of 1000."""
    units = ("B", "kB", "MB", "GB", "TB")
    power = min(int(math.log(count, 1000)), len(units) - 1) if count >= 1 else 0
    return f"{count / 1000**power:.3g} {units[power]}"


def share(value: float) -> str:
    """A share as a percentage."""
    if not math.isfinite(value):
        return "–"
    return "< 0.1 %" if 0 < abs(value) < 0.0005 else f"{100 * value:.1f} %"


def show(value: float) -> str:
    """As many significant digits as the settings say, three at first; a dash where there is no number."""
    return f"{value:.{comfort.chosen().digits}g}" if value is not None and math.isfinite(value) else "–"


def form(extra: int = 0) -> str:
    """The same for a column of a table, in which neighbours may want `extra` digits to be told apart."""
    return f"%.{comfort.chosen().digits + extra}g"


def as_toml(config: Mapping[str, Any]) -> str:
    """Settings as TOML, one line each; what is not set is left out."""
    return "".join(f"{json.dumps(key)} = {json.dumps(value)}\n" for key, value in config.items() if value is not None)
