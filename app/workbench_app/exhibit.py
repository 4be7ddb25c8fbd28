"""A Result on a page: its figure, its tables with their CSV, its notes, and badges for what is partial."""

from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from workbench.core import Result
from workbench.figures import CONFIG, recoloured

from . import comfort
from .frame import plain


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
    st.dataframe(
        result.df(chosen), hide_index=True, key=key, column_order=columns, column_config=config, alt=alt or chosen
    )
    download(result, key, chosen)


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
        st.caption(plain(" ".join(result.notes)))
