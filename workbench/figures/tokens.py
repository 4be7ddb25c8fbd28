"""The token strip: a flow of tokens, each coloured by a value, as plain HTML."""

from collections.abc import Sequence

from markupsafe import Markup, escape

from .theme import level, variables
from .wording import signed, visible

STYLE = (
    ".wb .strip{line-height:1.9;overflow-wrap:anywhere}"
    ".wb .strip span{padding:.12em .12em;border-radius:.2em;white-space:pre-wrap;"
    "font-family:var(--wb-mono);font-size:.92em}"
    ".wb .strip i{font-style:normal;opacity:.45}"
    ".wb .strip .peak{box-shadow:0 0 0 1.5px currentColor}"
)


def _letters(token: str) -> Markup:
    parts = (Markup("<i>{}</i>").format(c) if c in "·↵⇥␍" else escape(c) for c in visible(token))
    return Markup("").join(parts)


def token_strip(
    tokens: Sequence[str],
    values: Sequence[float | None] | None = None,
    titles: Sequence[str] | None = None,
    peak: int | None = None,
    largest: float | None = None,
) -> Markup:
    """Tokens as spans with visible blanks; background by value, blue above and orange below zero.

    The spans carry classes only: put them inside `class="wb"` with `strip_style()`, or use `token_html`.

    Args:
        values: one a token, None for no value; the strongest colour stands for `largest` (their maximum).
        titles: texts shown on hover; the value itself when not given.
        peak: the token to outline.
    """
    numbers: list[float | None] = list(values) if values is not None else [None] * len(tokens)
    largest = largest or max((abs(v) for v in numbers if v is not None and v == v), default=0.0)
    spans = []
    for i, (token, value) in enumerate(zip(tokens, numbers, strict=True)):
        step = level(value, largest) if value is not None else 0
        names = [f"{'p' if step > 0 else 'n'}{abs(step)}"] if step else []
        names += ["peak"] if i == peak else []
        title = titles[i] if titles is not None else "" if value is None else f"{visible(token)}  {signed(value)}"
        attributes = Markup(' class="{}"').format(" ".join(names)) if names else Markup("")
        attributes += Markup(' title="{}"').format(title) if title else Markup("")
        spans.append(Markup("<span{}>{}</span>").format(attributes, _letters(token)))
    return Markup('<div class="strip">{}</div>').format(Markup("<wbr>").join(spans))


def strip_style() -> str:
    """The CSS that `token_strip` needs, for light, dark and paper."""
    return variables(levels=True) + STYLE


def token_html(tokens: Sequence[str], values: Sequence[float | None] | None = None, **options) -> Markup:
    """A token strip that stands alone: its style is inside."""
    strip = token_strip(tokens, values, **options)
    return Markup('<div class="wb"><style>{}</style>{}</div>').format(Markup(strip_style()), strip)
