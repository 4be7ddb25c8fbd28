"""A unit's card as a page of its own: one file, no script, nothing loaded."""

from markupsafe import Markup

from workbench.core import Result

from .notebook import STYLE, table_html
from .plot_picture import plot_svg
from .theme import variables
from .wording import legible

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
SETS = {"top": "Strongest examples", "band": "From strong to weak", "random": "At random", "near miss": "Near misses"}
TABLES = {
    "effects": "What it writes, by the weights (logits)",
    "measured": "What it writes, measured (nats)",
    "similar": "Units like it",
    "connections": "Connections by virtual weight",
}


def card_page(card: Result, title: str) -> str:
    """HTML of a `feature card`: numbers, histogram and effects, examples of every set, relatives, notes."""
    numbers = [{"number": name, "value": value} for name, value in card.scalars.items()]
    parts = [Markup("<h1>{}</h1>").format(legible(title, 300)), table_html(numbers)]
    parts.append(Markup(plot_svg(card.fig(), f"c{card.id[:8]}", legible(title, 120))))
    for name, heading in SETS.items():
        rows = [row for row in card.tables.get("examples", []) if row["set"] == name]
        shown = [{key: value for key, value in row.items() if key not in ("set", "band")} for row in rows]
        if shown:
            parts.append(Markup("<h2>{}</h2>").format(heading) + table_html(shown))
    for name, heading in TABLES.items():
        if card.tables.get(name):
            parts.append(Markup("<h2>{}</h2>").format(heading) + table_html(card.tables[name]))
    parts += [Markup("<p>{}</p>").format(legible(note, 500)) for note in card.notes]
    style = Markup(variables(levels=True) + STYLE + ".wb h1{font-size:1.3em}.wb h2{font-size:1.05em}body{margin:0}")
    head = '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{}</title>'
    meta = '<meta http-equiv="Content-Security-Policy" content="{}"><style>{}</style></head>'
    return str(
        Markup(head + meta + '<body><div class="wb">{}</div></body></html>').format(
            legible(title, 120), POLICY, style, Markup("").join(parts)
        )
    )
