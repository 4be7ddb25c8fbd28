"""How numbers and tokens are written for people: three digits, visible blanks, nothing that could be markup."""

import html
import math
import unicodedata
from typing import Any

BLANKS = {" ": "·", "\n": "↵", "\t": "⇥", "\r": "␍"}


def show(value: Any, digits: int = 3) -> str:
    """A number with three significant digits; whole numbers in full, `–` for nothing, a real minus sign."""
    if value is None or isinstance(value, bool):
        return {None: "–", True: "yes", False: "no"}[value]
    if isinstance(value, int):
        return f"{value:,}".replace(",", "\u202f").replace("-", "−")
    if not isinstance(value, float):
        return str(value)
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value and not 1e-4 <= abs(value) < 1e6:
        text = f"{value:.{digits - 1}e}".replace("e-0", "e-").replace("e+0", "e")
    else:
        places = digits - 1 - int(f"{value:.{digits - 1}e}".split("e")[1]) if value else 0
        text = f"{round(value, places):.{min(max(places, 0), 6)}f}"
    return "0" if not float(text) else text.replace("-", "−")


def signed(value: float, digits: int = 3) -> str:
    """`show` with a plus sign where it belongs."""
    text = show(float(value), digits)
    return f"+{text}" if value > 0 and text != "0" else text


def visible(token: str, limit: int = 40) -> str:
    """A token's text with blanks made visible; control, format and private characters become escapes.

    Direction overrides and zero-width characters could hide or reorder what a reader sees.
    """
    return _disarmed(token, limit, BLANKS)


def legible(text: str, limit: int = 200) -> str:
    """A label or sentence: blanks stay blanks, what could hide or reorder text becomes an escape."""
    return _disarmed(text, limit, dict.fromkeys(BLANKS, " "))


def _disarmed(text: str, limit: int, blanks: dict[str, str]) -> str:
    out = []
    for character in text[:limit]:
        if character in blanks:
            out.append(blanks[character])
        elif unicodedata.category(character)[0] == "C" or unicodedata.category(character) in ("Zl", "Zp"):
            out.append(f"\\x{ord(character):02x}" if ord(character) < 256 else f"\\u{ord(character):04x}")
        else:
            out.append(character)
    return "".join(out) + ("…" if len(text) > limit else "")


def clip(text: str, length: int) -> str:
    """At most `length` characters, the last an ellipsis where something was cut."""
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def plain(text: Any, limit: int = 80) -> str:
    """Text for plotly, which reads tags and entities in labels and hovers: all of them disarmed."""
    return html.escape(legible(str(text), limit), quote=False)


def plain_token(token: str, limit: int = 40) -> str:
    """A token for plotly: `visible`, and nothing left that could be a tag."""
    return html.escape(visible(token, limit), quote=False)
