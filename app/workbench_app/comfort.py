"""Comfort settings: how pages show numbers, examples and colours, and how many models they hold; kept per workspace."""

from __future__ import annotations

import contextlib
from typing import Literal

import streamlit as st
from pydantic import Field

from workbench import core, workspace as places

ID = "comfort"
COMPONENTS = {"blue and orange": None, "green and purple": ("#2a9d5c", "#9250c8")}
"""Colours of the components for what is above and below zero; None: those of the theme."""


class Comfort(core.Config):
    """What people may set to their liking; no number is computed otherwise for it."""

    digits: int = Field(default=3, ge=2, le=6, description="significant digits of a number on a page")
    context: int = Field(default=12, ge=2, le=64, description="tokens on either side of an example's peak")
    colours: Literal["blue and orange", "green and purple"] = Field(
        default="blue and orange", description="of scales and signs; either is safe for the colour blind"
    )
    models: int = Field(default=2, ge=1, le=4, description="models in memory at once; the one used longest ago goes")


def chosen() -> Comfort:
    """The settings of the workspace."""
    return _chosen(str(places.Workspace().path))


def choose(**changes: object) -> None:
    """Change some of them.

    Raises:
        ConfigError: a value is out of range.
    """
    place = places.Workspace().path
    told = Comfort.parse({**chosen().model_dump(), **changes}, "settings")
    places.Database(place).save_view(ID, "settings", told.model_dump(mode="json"))
    _chosen.clear()


@st.cache_resource(max_entries=4, show_spinner=False)
def _chosen(folder: str) -> Comfort:
    place = places.Workspace(folder).path
    if (place / "workbench.db").is_file():  # looking makes no file
        with contextlib.suppress(core.ConfigError):  # written by another version
            view = places.Database(place).view(ID)
            return Comfort.parse(view.state, "settings") if view else Comfort()
    return Comfort()


def style() -> str:
    """The settings as CSS, for the components: they read the digits and colours from it."""
    told = chosen()
    rules = [f":root{{--wb-digits:{told.digits}}}"]
    if colours := COMPONENTS[told.colours]:
        above, below = colours
        rules.append(f"[data-testid=stBidiComponentIsolated]{{--st-blue-color:{above};--st-orange-color:{below}}}")
    return "".join(rules)
