"""Browser components in plain JavaScript: strings read from this folder, no build step, nothing fetched.

A click arrives as a trigger; what is selected lives in the browser. Python sends a selection only when it
was changed elsewhere or the component was away, so that a click costs no second copy of the payload.
"""

import hashlib
import json
import re
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import streamlit as st
from streamlit.components.v2 import component

from workbench.figures import clip

LONGEST = 400  # letters of a token or label that cross the wire; a vocabulary may hold one of a hundred thousand
PARTS = {"agraph": ("canvas.js", "picture.js", "agraph_plan.js"), "attn_grid": ("canvas.js",), "heat": ("canvas.js",)}
"""What the script of a component needs beside `shared.js`."""


@cache
def _renderer(name: str) -> Callable[..., Any]:
    folder = files("workbench_app.components")
    scripts = ("shared.js", *PARTS.get(name, ()), f"{name}.js")
    script, style = (
        "".join(_short((folder / part).read_text(encoding="utf-8")) for part in parts)
        for parts in (scripts, ("shared.css", f"{name}.css"))
    )
    return component(f"workbench_{name}", html='<div class="root"></div>', css=style, js=script)


def _short(text: str) -> str:
    """Without indentation and comments: a script travels with every change of its data."""
    lines = (line.strip() for line in text.splitlines())
    return "".join(f"{line}\n" for line in lines if line and not line.startswith("//"))


def begin(panel: str) -> None:
    """Call at the start of a fragment: it lets the components in it notice that they were away."""
    runs = st.session_state.setdefault("_runs", {})
    runs[panel] = runs.get(panel, 0) + 1
    st.session_state["_panel"] = panel


def _start(key: str, wanted: Any) -> dict[str, Any]:
    """What the component is told to select, with a number that changes when it must listen."""
    runs = st.session_state["_runs"][st.session_state["_panel"]]
    record = st.session_state.setdefault(f"_shown_{key}", {"n": 0, "shows": None, "sent": None, "run": -2})
    if record["shows"] != wanted or record["run"] < runs - 1:
        record.update(n=record["n"] + 1, shows=wanted, sent=wanted)
    record["run"] = runs
    return {"n": record["n"], "selected": record["sent"]}


def _mount(name: str, key: str, data: Any, **acts: Callable[[Any], object] | None) -> None:
    """Show a component; `acts` says what to do with each event that its script sends (None: a state to keep)."""

    def listener(event: str, act: Callable[[Any], object] | None) -> Callable[[], object]:
        def heard() -> None:
            sent = (st.session_state[key] or {}).get(event)
            if sent is None or act is None:
                return
            if event == "picked" and f"_shown_{key}" in st.session_state:
                st.session_state[f"_shown_{key}"]["shows"] = sent["value"]
            act(sent["value"])

        return heard

    callbacks = {f"on_{event}_change": listener(event, act) for event, act in acts.items()}
    _renderer(name)(key=key, data=data, **callbacks)


def editor(
    key: str,
    text: str,
    describe: Callable[[str], tuple[Sequence[str], Sequence[bool], str, bool]],
    on_run: Callable[[str], object],
) -> None:
    """The prompt box. `describe(draft)` gives tokens, which are special, a message, and whether it is refused.

    At most 400 tokens are previewed, and none once the draft is the prompt.
    """
    start = _start(key, text)
    typed = (st.session_state.get(key) or {}).get("draft") or {}
    draft = typed["text"] if typed.get("n") == start["n"] else start["selected"]
    tokens, special, message, over = describe(draft)
    shown = 0 if draft == text else 400
    data = {
        "start": {"n": start["n"], "text": start["selected"]},
        "tokens": _short_ones(tokens[:shown]),
        "special": [bool(flag) for flag in special[:shown]],
        "hidden": max(0, len(tokens) - shown) if shown else 0,
        "message": message,
        "over": over,
    }
    _mount("editor", key, data, picked=on_run, draft=None)


def tokens(
    key: str,
    id: str,
    texts: Sequence[str],
    ids: Sequence[int],
    special: Sequence[bool],
    values: np.ndarray,
    measure: str,
    facts: Sequence[Sequence[tuple[str, str]]],
    tops: Sequence[Sequence[tuple[str, float]]],
    selected: int | None,
    on_pick: Callable[[int | None], object],
) -> None:
    """A flow of tokens coloured by `values` (nan: none; orange below zero); `facts` and `tops` fill the tooltips."""
    finite = np.abs(values[np.isfinite(values)])
    data = {
        "id": id,
        "tokens": _short_ones(texts),
        "ids": list(ids),
        "special": list(special),
        "values": _numbers(values),
        "maximum": float(finite.max()) if len(finite) else 1.0,
        "signed": bool((values[np.isfinite(values)] < 0).any()),
        "measure": measure,
        "facts": facts,
        "tops": [_shown(pairs) for pairs in tops],
        "start": _start(key, selected),
    }
    _mount("tokens", key, data, picked=on_pick)


@dataclass(frozen=True)
class Bar:
    """One row of `bars`: `text` is the number as shown; with a `key` the row can be clicked."""

    label: str
    value: float
    text: str
    key: str = ""
    token: bool = False
    marked: bool = False
    facts: tuple[tuple[str, str], ...] = ()


def bars(
    key: str,
    rows: Sequence[Bar],
    *,
    title: str = "",
    signed: bool = False,
    empty: str = "",
    on_pick: Callable[[str], object] | None = None,
) -> None:
    """Rows of text, bar and number; signed bars grow from the middle."""
    data: dict[str, Any] = {
        "rows": [{**vars(row), "label": clip(row.label, LONGEST)} for row in rows],
        "title": title,
        "signed": signed,
        "empty": empty,
    }
    data["id"] = hashlib.sha256(json.dumps(data).encode()).hexdigest()[:12]
    _mount("bars", key, data, **({"picked": on_pick} if on_pick else {}))


def examples(key: str, rows: Sequence[dict[str, Any]], on_pick: Callable[[int], object] | None = None) -> None:
    """Text windows: rows with tokens, values (one a token), peak (a place), activation and source; a click may act."""
    shown = [{**row, "tokens": _short_ones(row["tokens"])} for row in rows]
    data: dict[str, Any] = {"rows": shown, "clickable": on_pick is not None}
    data["maximum"] = max((abs(value) for row in rows for value in row["values"]), default=1.0)
    data["id"] = hashlib.sha256(json.dumps(data).encode()).hexdigest()[:12]
    _mount("examples", key, data, **({"picked": on_pick} if on_pick else {}))


def heat(
    key: str,
    id: str,
    values: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    title: str,
    *,
    low: float,
    high: float,
    cells: Sequence[str] = (),
    tips: Sequence[Sequence[tuple[str, float]]] = (),
    column: int | None = None,
    selected: tuple[int, int] | None = None,
    on_pick: Callable[[list[int] | None], object] | None = None,
) -> None:
    """A heat map of `values` [rows columns] (nan: empty), with text in the cells when `cells` are given.

    With `low` below zero the colours part at zero: orange below, blue above.
    """
    data = {
        "id": id,
        "values": _numbers(values.ravel()),
        "rows": _short_ones(rows),
        "columns": _short_ones(columns),
        "title": title,
        "low": float(low),
        "high": float(high),
        "cells": _short_ones(cells),
        "tips": [_shown(pairs) for pairs in tips],
        "column": column,
        "start": _start(key, list(selected) if selected else None),
    }
    _mount("heat", key, data, **({"picked": on_pick} if on_pick else {}))


def attn_grid(
    key: str,
    id: str,
    maps: np.ndarray,
    names: Sequence[str],
    scores: np.ndarray,
    selected: tuple[int, int] | None,
    on_pick: Callable[[list[int] | None], object],
) -> None:
    """All heads at once: `maps` uint8 [l h s s], `scores` [l h n] named by `names`."""
    layers, heads, side, _ = maps.shape
    header = {
        "id": id,
        "layers": layers,
        "heads": heads,
        "side": side,
        "names": list(names),
        "scores": [_numbers(row) for row in scores.reshape(layers * heads, -1)],
        "start": _start(key, list(selected) if selected else None),
    }
    text = json.dumps(header).encode()
    _mount("attn_grid", key, struct.pack("<I", len(text)) + text + maps.tobytes(), picked=on_pick)


def agraph(
    key: str,
    payload: dict[str, Any],
    selected: str | None,
    layout: dict[str, Any] | None,
    on_pick: Callable[[str | None], object],
    on_change: Callable[[dict[str, Any]], object],
    *,
    labels: Mapping[str, str] | None = None,
    badges: Mapping[str, bool] | None = None,
    lit: Sequence[str] = (),
) -> None:
    """A circuit graph; `payload` comes from `workbench_app.drawing.payload` and crosses the wire once.

    Args:
        layout: pins, groups, moves and dials as the component hands them to `on_change`; None: as it opens.
        labels: unit -> what people call it. badges: node id -> whether it did what was predicted.
        lit: ids of the nodes of a path.
    """
    told = {
        "to": key,
        "id": payload["id"],
        "start": _start(key, selected),
        "layout": _start(f"{key}/layout", layout),
        "labels": dict(labels or {}),
        "badges": dict(badges or {}),
        "lit": list(lit),
    }

    def changed(value: dict[str, Any]) -> None:
        st.session_state[f"_shown_{key}/layout"]["shows"] = value
        on_change(value)

    _mount("agraph_control", f"{key}_control", told)
    _mount("agraph", key, {**payload, "key": key}, picked=on_pick, changed=changed)


def keys(key: str, acts: Mapping[str, Callable[[], object]], fields: Mapping[str, str] | None = None) -> None:
    """Single keys that act wherever the page has the focus, but not in a field.

    Args:
        acts: key -> what Python does. fields: key -> key of the widget that gets the cursor, without a run of the page.
    """
    fields = {name: f".st-key-{_as_class(widget)}" for name, widget in (fields or {}).items()}
    _mount("keys", key, {"keys": sorted(acts), "fields": fields}, picked=lambda name: acts[name]())


def addresses() -> None:
    """Join the entries of the browser's history that belong to one step, so that Back undoes one."""
    _mount("addresses", "shell_addresses", None)


def _as_class(key: str) -> str:
    """The class that Streamlit gives a widget by its key."""
    return re.sub(r"[^a-zA-Z0-9_-]", "-", key.strip())


def _short_ones(texts: Sequence[str]) -> list[str]:
    return [clip(text, LONGEST) for text in texts]


def _shown(pairs: Sequence[tuple[str, float]]) -> list[tuple[str, float]]:
    return [(clip(text, LONGEST), value) for text, value in pairs]


def _numbers(values: np.ndarray) -> list[float | None]:
    """Four significant digits are enough for a colour; nan becomes null."""
    return [float(f"{value:.4g}") if np.isfinite(value) else None for value in np.asarray(values, dtype=float)]
