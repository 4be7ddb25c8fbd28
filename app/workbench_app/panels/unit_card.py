"""One unit in full, the same for a feature, a code and a neuron: where it fires, what it writes, what is like it."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from random import choice
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from workbench.core import Result, Unit
from workbench.features import (
    Bench,
    FeatureScan,
    SteerConfig,
    SteeringEdit,
    activations_on,
    direction_file,
    direction_json,
    feature_card,
    steer,
)
from workbench.figures import card_page
from workbench_app import benches, components, exhibit, frame, state
from workbench_app.components import Bar
from workbench_app.focus import change_focus, focus, set_focus
from workbench_app.panels import peek, steering, unit_label, unit_pair
from workbench_app.wording import share, show

SETS = {"Top": "top", "Bands": "band", "Random": "random", "Near misses": "near miss"}
WHY_BLANK = {
    "near miss": "This kind of unit has no threshold that it could miss, or it never stayed silent.",
    "": "It never fired on the scanned text.",
}


def show_panel(name: str, unit: Unit, found: Bench, scan: FeatureScan | None) -> None:
    """Header, label, and the tabs; only the open one computes."""
    header(unit, found, scan)
    shortcuts(unit, scan)
    left, right = st.columns([7, 3], gap="large")
    with right:
        unit_label.show_panel(unit)
    with left:
        tabs = {
            "Where it fires": lambda: fires(unit, found, scan),
            "What it writes": lambda: writes(unit, found, scan),
            "Relatives": lambda: relatives(unit, found, scan),
            "Compare": lambda: unit_pair.show_panel(unit, found, scan),
            "Try a text": lambda: try_text(unit, found, scan),
            "Steer": lambda: steering.show_panel(name, found, scan, unit),
        }
        made = st.tabs(list(tabs), key="ft_tab", on_change="rerun", bind="query-params")
        for tab, draw in zip(made, tabs.values(), strict=True):
            if tab.open:
                with tab, frame.guard():
                    draw()


def header(unit: Unit, found: Bench, scan: FeatureScan | None) -> None:
    """Address, flags, density; the way to the next and the previous unit of the list above."""
    order = st.session_state.get("ft_order", [])
    at = order.index(str(unit)) if str(unit) in order else None
    with st.container(horizontal=True, vertical_alignment="center"):
        for label, icon, key, step in (
            ("Previous", "arrow_back", "Left", -1),
            ("Next", "arrow_forward", "Right", 1),
        ):
            there = None if at is None else at + step
            inside = there is not None and 0 <= there < len(order)
            st.button(
                label, icon=f":material/{icon}:", key=f"ft_{label}", shortcut=key, disabled=not inside,
                on_click=set_focus, kwargs={"unit": order[there] if inside and there is not None else None},
            )  # fmt: skip
        place = frame.plain(f"{unit.artifact or found.model.ref.id}, reads {unit.site}")
        st.markdown(f"**{frame.plain(f'{unit.kind} {unit.index}')}** · {place}")
        if scan is not None:
            numbers = benches.of_unit("occurrences", unit, found, scan).scalars
            for flag, colour in (("dead", "red"), ("dense", "orange"), ("duplicate", "violet")):
                if numbers[flag]:
                    st.markdown(f":{colour}-badge[{flag}]")
        take_along(unit, found, scan)
    if scan is not None:
        result = benches.of_unit("occurrences", unit, found, scan)
        st.caption(frame.plain(result.notes[0]))


def shortcuts(unit: Unit, scan: FeatureScan | None) -> None:
    """Keys: another unit at random, its label, steering by it; the arrows step through the list above."""

    def random() -> None:
        order = st.session_state.get("ft_order", [])
        if scan is not None and not order:
            member = scan.member(unit.site)
            order = [str(replace(unit, index=i)) for i in scan.table(member)["count"].nonzero()[:, 0].tolist()]
        others = [text for text in order if text != str(unit)]
        if others:
            set_focus(unit=choice(others))

    def steer_by() -> None:
        st.session_state["ft_tab"] = "Steer"

    st.caption("Keys: arrows for the previous and the next, `r` a random one, `l` its label, `s` to steer by it.")
    components.keys("ft_keys", {"r": random, "s": steer_by}, {"l": f"ft_label_{unit}"})


def take_along(unit: Unit, found: Bench, scan: FeatureScan | None) -> None:
    """The unit as files: its whole card, its examples, and the directions that it reads and writes."""
    name = re.sub(r"[^A-Za-z0-9.-]+", "-", str(unit))

    def card() -> Result:
        assert scan is not None
        return feature_card(found, scan, unit)

    def examples() -> bytes:
        rows = pd.DataFrame(benches.of_unit("occurrences", unit, found, scan).tables["examples"])
        return rows.to_parquet(index=False)

    files: dict[str, tuple[str, Callable[[], str | bytes]]] = {
        "Direction (safetensors)": (f"{name}.safetensors", lambda: direction_file(found, unit)),
        "Direction (JSON)": (f"{name}-direction.json", lambda: direction_json(found, unit)),
    }
    if scan is not None:
        files = {
            "Card (HTML)": (f"{name}.html", lambda: card_page(card(), labelled(unit))),
            "Card (JSON)": (f"{name}.json", lambda: json.dumps(card().to_json(), indent=1)),
            "Examples (Parquet)": (f"{name}-examples.parquet", examples),
            **files,
        }
    with st.popover("Download", icon=":material/download:"):
        for label, (file, make) in files.items():
            st.download_button(
                label, data=make, file_name=file, on_click="ignore", key=f"ft_take_{label}", type="tertiary",
                icon=":material/download:",
            )  # fmt: skip


def labelled(unit: Unit) -> str:
    """The unit's label and address."""
    label = state.database().labels(unit.artifact).get(unit, "")
    return f"{label} ({unit})" if label else str(unit)


@st.fragment
def fires(unit: Unit, found: Bench, scan: FeatureScan | None) -> None:
    """Histogram and examples of four kinds: the strongest are never alone."""
    components.begin("unit examples")
    if scan is None:
        st.caption("Nothing was scanned yet; see above.")
        return
    result = benches.of_unit("occurrences", unit, found, scan)
    rows = result.tables["examples"]
    if result.tables["histogram"]:
        exhibit.figure(result, f"ft_histogram_{unit}", name="histogram", alt="Histogram of activations")
    numbers = result.scalars
    with st.container(horizontal=True):
        st.metric("tokens", f"{numbers['count']:,.0f}")
        st.metric("density", share(numbers["density"]))
        st.metric("largest", show(numbers["largest"]))
        st.metric("usual (rms)", show(numbers["scale"]))
        st.metric(
            "closest twin",
            f"{numbers['twin']:.0f}",
            delta=f"cosine {numbers['twin_cosine']:.2f}",
            delta_color="off",
            delta_arrow="off",
        )
    lead_on()
    chosen = st.segmented_control(
        "Examples", list(SETS), default="Top", required=True, key="ft_set", label_visibility="collapsed"
    )
    kind = SETS[chosen]
    mine = [row for row in rows if row["set"] == kind]
    if not mine:
        st.caption(WHY_BLANK.get(kind, WHY_BLANK[""]) if numbers["count"] else WHY_BLANK[""])
        return
    bands = sorted({row["band"] for row in mine})
    for band in bands:
        part = [row for row in mine if row["band"] == band]
        if band:
            low, high = min(abs(r["activation"]) for r in part), max(abs(r["activation"]) for r in part)
            strongest = " (strongest)" if band == 1 else " (weakest)" if band == bands[-1] else ""
            st.caption(f"Band {band} of {bands[-1]}{strongest}: {show(low)} to {show(high)}")
        shown = [{**row, "source": f"{row['document']}, position {row['position']}"} for row in part]
        components.examples(f"ft_examples_{kind}_{band}", shown, on_pick=opener(part))
    st.caption(
        frame.plain(f"A click makes the example the prompt. Text: {result.params['text']}, {result.params['licence']}.")
    )


def opener(rows: list[dict[str, Any]]) -> Callable[[int], None]:
    """What a click on an example does: its tokens up to the peak become the prompt."""

    def opened(number: int) -> None:
        row = rows[number]
        tokens = row["tokens"][: row["peak"] + 1]
        special = {"<bos>", "<|endoftext|>", "<s>", "<|im_start|>", "<|begin_of_text|>"}
        text = "".join(tokens[1:] if tokens and tokens[0] in special else tokens)
        change_focus(prompt="", position=None)
        state.ask(text.strip(" "))
        st.session_state["ft_opened"] = True

    return opened


def lead_on() -> None:
    """After a click on an example: the way to the Prompt page, where it now stands."""
    if st.session_state.pop("ft_opened", False):
        st.page_link("views/prompt.py", label="Open it on the Prompt page", icon=":material/arrow_forward:")


def writes(unit: Unit, found: Bench, scan: FeatureScan | None) -> None:
    """Promoted and suppressed tokens: by the weights, and as the model moves when the unit is taken out."""
    left, right = st.columns(2, gap="large")
    with left, frame.guard():
        st.markdown("**By the weights** (direct path)")
        (row,) = benches.of_unit("effects", unit, found, scan).tables["unit_effects"]
        pairs = [*row["promoted"], *reversed(row["suppressed"])]
        components.bars(
            f"ft_effects_{unit}", [Bar(str(text), float(value), show(value), token=True) for text, value in pairs],
            signed=True,
        )  # fmt: skip
    with right, frame.guard():
        st.markdown("**Measured**: with it less without it, nats")
        if scan is None or not scan.counts(unit.site)[unit.index]:
            st.caption("It never fired on scanned text, so nothing can be measured.")
            return
        result = benches.of_unit("measured", unit, found, scan)
        bars = [
            Bar(
                row["token"], row["change"], f"{row['change']:+.2g} ± {row['sd']:.1g}", token=True,
                facts=(("by the weights", show(row["predicted"])), ("mean change, nats", show(row["change"])),
                       ("standard deviation", show(row["sd"]))),
            )
            for row in result.tables["measured"]
        ]  # fmt: skip
        components.bars(f"ft_measured_{unit}", bars, signed=True)
        exhibit.notes(result)


def relatives(unit: Unit, found: Bench, scan: FeatureScan | None) -> None:
    """Similar units and virtual connections; a row opens that unit beside the page."""
    st.markdown("**Similar**: writes the same, or fires together")
    similar = benches.of_unit("similar", unit, found, scan)
    linked(similar, "similar", f"ft_similar_{unit}")
    if "alignment" in similar.scalars:
        st.caption(f"Cosine of what it reads and what it writes: {similar.scalars['alignment']:.2f}.")
    exhibit.notes(similar)
    connected = benches.of_unit("connections", unit, found, scan)
    rows = connected.tables["connections"]
    left, right = st.columns(2)
    for column, side in ((left, "input"), (right, "output")):
        with column:
            mine = [row for row in rows if row["side"] == side]
            st.markdown(f"**{side.capitalize()}s** by virtual weight")
            if mine:
                linked(Result("connections", tables={side: mine}), side, f"ft_{side}_{unit}")
            else:
                st.caption(f"No {side}s among the members of this set.")
    exhibit.notes(connected)
    peek.answer()


def linked(result: Result, table: str, key: str) -> None:
    """A table of units; a row opens its unit beside the page."""
    rows = pd.DataFrame(result.tables[table])
    if rows.empty:
        st.caption("None.")
        return

    def chosen() -> None:
        picked = st.session_state[key]["selection"]["rows"]
        if picked:
            peek.ask(str(rows["unit"][picked[0]]))

    st.dataframe(
        rows, hide_index=True, on_select=chosen, selection_mode="single-row", key=key, alt=table,
        height=min(280, 38 + 35 * len(rows)), column_order=[name for name in rows if name != "side"], placeholder="–",
        column_config=exhibit.headed(rows),
    )  # fmt: skip


def try_text(unit: Unit, found: Bench, scan: FeatureScan | None) -> None:
    """The unit on a text of one's own, and what clamping it does to the next token there."""
    text = st.text_input("Your text", value=focus().prompt, key="ft_own", placeholder="type something")
    if not text:
        st.caption("Its activation on every token appears here.")
        return
    rows = activations_on(found, unit, text).tables["tokens"]
    ids = found.model.tokens(text).ids[0].tolist()
    special = set(found.model.tokenizer.special_ids)
    token_strip(rows, ids, special, f"{unit}")
    quick_test(unit, text, found, scan)


@st.fragment
def token_strip(rows: list[dict[str, Any]], ids: list[int], special: set[int], name: str) -> None:
    components.begin("unit on text")
    values = np.array([row["activation"] for row in rows])
    facts = [
        [("activation", show(row["activation"])), ("before the gate", show(row["pre_activation"]))] for row in rows
    ]
    components.tokens(
        "ft_own_tokens", f"{name} {hash(tuple(ids))}", [row["token"] for row in rows], ids,
        [i in special for i in ids], values, "activation", facts, [], None, lambda _: None,
    )  # fmt: skip


def quick_test(unit: Unit, text: str, found: Bench, scan: FeatureScan | None) -> None:
    """Clamp to nothing, to the usual, to the largest, or to a value; what happens to the next token."""
    st.markdown("**Quick test**: hold it at a value on every token but the first")
    largest = 0.0
    if scan is not None and scan.scale(unit):
        largest = benches.of_unit("occurrences", unit, found, scan).scalars["largest"] / scan.scale(unit)
    options = {"0": 0.0, "usual": 1.0, "largest seen": largest or 4.0, "custom": None}
    left, right = st.columns([3, 2], vertical_alignment="bottom")
    chosen = left.segmented_control("Value", list(options), default="largest seen", required=True, key="ft_clamp")
    value = options[chosen]
    if value is None:
        value = right.number_input("Times the usual (rms) activation", value=4.0, step=1.0, key="ft_clamp_value")
    result = clamped(str(unit), text, float(value), found, scan)
    kl = result.tables["kl"][-1]["kl"]
    st.caption(
        f"KL at the last token {show(kl)} nats (mean over the text {show(result.tables['runs'][-1]['kl'])}); "
        "positive: more likely when held there."
    )
    rows = sorted(result.tables["next_tokens"], key=lambda row: -abs(row["difference"]))[:12]
    components.bars(
        "ft_quick",
        [
            Bar(
                row["token"], row["difference"], f"{share(row['unedited'])} → {share(row['edited'])}", token=True,
                facts=(("log ratio, nats", show(row["log_ratio"])),),
            )
            for row in rows
        ],
        signed=True,
    )  # fmt: skip


@st.cache_resource(max_entries=24, show_spinner="Running the model …")
def clamped(unit: str, text: str, value: float, _found: Bench, _scan: FeatureScan | None) -> Result:
    """A text with a unit held at a value."""
    config = SteerConfig(new_tokens=0, random_directions=0, wrong_sign=False)
    edit = SteeringEdit(unit=unit, operation="clamp", strength=value)
    return steer(_found, text, [edit], config, _scan)
