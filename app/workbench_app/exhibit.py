"""A Result on a page: its figure, its tables with their CSV, its notes, and badges for what is partial."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from workbench.core import Result
from workbench.figures import CONFIG, recoloured

from . import comfort
from .frame import plain
from .wording import form

FIRST = ("site", "layer", "head", "position")
ENDS = ("_low", "_high", "_error")


@st.cache_resource(max_entries=48, show_spinner=False)
def _drawn(id: str, name: str | None, colours: str, _result: Result) -> go.Figure:
    return recoloured(_result.fig(name), colours)


def coloured(drawn: go.Figure) -> go.Figure:
    """A figure in the colours of the settings."""
    return recoloured(drawn, comfort.chosen().colours)


def figure(result: Result, key: str, *, name: str | None = None, alt: str = "", height: int | None = None) -> None:
    """The plotly figure of a Result (by its kind, or the renderer called `name`), made once for each Result."""
    drawn = _drawn(result.id, name, comfort.chosen().colours, result)
    if height:
        drawn = go.Figure(drawn).update_layout(height=height)
    st.plotly_chart(drawn, key=key, config=CONFIG, alt=alt or result.kind)


def table(
    result: Result,
    key: str,
    name: str | None = None,
    *,
    columns: Sequence[str] | None = None,
    config: dict[str, Any] | None = None,
    alt: str = "",
) -> None:
    """One table of a Result, and its download as CSV (made when it is asked for)."""
    chosen = name or next(iter(result.tables), "")
    shown = result.df(chosen)
    st.dataframe(
        shown, hide_index=True, key=key, column_order=columns or ordered(shown), alt=alt or chosen, placeholder="–",
        column_config=headed(shown) | (config or {}),
    )  # fmt: skip
    download(result, key, chosen)


def ordered(table: pd.DataFrame) -> list[str]:
    """The columns that hold something; where a file has sorted them, what names a row comes first, then its numbers."""
    names = [str(name) for name in table.dropna(axis="columns", how="all")]
    if names != sorted(names):
        return names

    def rank(name: str) -> tuple[int, str, int]:
        end = next((end for end in ENDS if name.endswith(end) and name.removesuffix(end) in names), "")
        place = FIRST.index(name) if name in FIRST else len(FIRST) + pd.api.types.is_numeric_dtype(table[name])
        return place, name.removesuffix(end), 1 + ENDS.index(end) if end else 0

    return sorted(names, key=rank)


def headed(table: pd.DataFrame) -> dict[str, Any]:
    """Headings in words, and of what is no whole number one digit more than pages show elsewhere."""
    found = {}
    for name in map(str, table):
        label = name.replace("_", " ")
        if pd.api.types.is_float_dtype(table[name]):
            found[name] = st.column_config.NumberColumn(label, format=form(1))
        else:
            found[name] = st.column_config.Column(label)
    return found


def download(result: Result, key: str, name: str | None = None) -> None:
    """A button for one table as CSV."""
    chosen = name or next(iter(result.tables), "")
    st.download_button(
        "CSV",
        data=lambda: result.df(chosen).to_csv(index=False),
        file_name=f"{result.kind}-{chosen}-{result.id}.csv".replace(" ", "_"),
        on_click="ignore",
        icon=":material/download:",
        key=f"{key}_csv",
        type="tertiary",
    )


def notes(result: Result) -> None:
    """What a Result says of itself: definitions, masks, limits; amber when it is partial."""
    if result.partial:
        st.markdown(":orange-badge[partial] cancelled before it was through; this is what was done.")
    if result.notes:
        sentences = [note if note.rstrip().endswith((".", "!", "?")) else f"{note}." for note in result.notes]
        st.caption(plain(" ".join(map(begun, sentences))))


def begun(sentence: str) -> str:
    """A sentence with a capital; one that begins with the name of a column or a model stays as it is."""
    word = sentence.split(" ", 1)[0]
    return sentence[:1].upper() + sentence[1:] if word.rstrip(",").isalpha() else sentence
