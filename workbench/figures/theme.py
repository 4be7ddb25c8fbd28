"""Colours for light and dark, chosen blue and orange so that every kind of colour vision tells them apart."""

from dataclasses import asdict, dataclass

LEVELS = 8


@dataclass(frozen=True)
class Palette:
    """The colours of one theme, as #rrggbb."""

    paper: str
    panel: str
    ink: str
    muted: str
    line: str
    positive: str
    negative: str
    neutral: str


LIGHT = Palette("#ffffff", "#f5f7f9", "#1b232d", "#5a6573", "#d9dfe6", "#1c69ac", "#c2570c", "#6c7785")
DARK = Palette("#14181e", "#1c222a", "#e5e9ee", "#9ba6b4", "#333c47", "#66aeee", "#f2994f", "#8f9aa8")
POSITIVE, NEGATIVE, NEUTRAL = LIGHT.positive, LIGHT.negative, LIGHT.neutral
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
MONO = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'Liberation Mono', monospace"


def _channels(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def mix(colour: str, ground: str, share: float) -> str:
    """`share` of one colour over another, linear in sRGB."""
    parts = zip(_channels(colour), _channels(ground), strict=True)
    return "#" + "".join(f"{round(a * share + b * (1 - share)):02x}" for a, b in parts)


def contrast(one: str, other: str) -> float:
    """The WCAG 2 contrast ratio of two colours, 1 to 21."""

    def luminance(colour: str) -> float:
        scaled = (c / 255 for c in _channels(colour))
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in scaled]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def readable(ground: str) -> str:
    """Black or white, whichever is easier to read on a ground: one of them always has a contrast of 4.5."""
    return max(("#000000", "#ffffff"), key=lambda ink: contrast(ink, ground))


def level_colours(palette: Palette, sign: int) -> list[tuple[str, str]]:
    """(background, text) of the value levels 1 to `LEVELS` of one sign; the strongest is the plain colour."""
    colour = palette.positive if sign > 0 else palette.negative
    grounds = [mix(colour, palette.paper, 0.1 + 0.9 * level / LEVELS) for level in range(1, LEVELS + 1)]
    return [(ground, readable(ground)) for ground in grounds]


def level(value: float, largest: float) -> int:
    """The value's level, -`LEVELS` to `LEVELS`; 0 for nothing to show."""
    if not largest or value != value or not value:
        return 0
    step = max(1, round(min(abs(value) / largest, 1) * LEVELS)) if abs(value) / largest >= 0.02 else 0
    return step if value > 0 else -step


def _rules(palette: Palette, scope: str) -> str:
    variables = ";".join(f"--wb-{name}:{value}" for name, value in asdict(palette).items())
    rules = [f"{scope}{{{variables}}}"]
    for letter, sign in (("p", 1), ("n", -1)):
        for number, (ground, ink) in enumerate(level_colours(palette, sign), 1):
            rules.append(f"{scope} .{letter}{number}{{background:{ground};color:{ink}}}")
    return "".join(rules)


def variables(scope: str = ".wb", levels: bool = False) -> str:
    """CSS that defines the theme's variables (and the value levels) for light, dark and paper."""

    def block(palette: Palette) -> str:
        rules = _rules(palette, scope)
        return rules if levels else rules.split("}")[0] + "}"

    return f"{block(LIGHT)}@media (prefers-color-scheme:dark){{{block(DARK)}}}@media print{{{block(LIGHT)}}}"
