"""The steering playground: a list of edits on units and directions, tried on a prompt beside their controls."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from workbench.core import ConfigError, Result, Site, Unit
from workbench.features import (
    Bench,
    FeatureScan,
    SteerConfig,
    SteeringEdit,
    dose_curve,
    edits_from_json,
    edits_to_json,
    edits_to_python,
    steer,
)
from workbench_app import components, exhibit, frame, state, work
from workbench_app.focus import focus, set_focus
from workbench_app.wording import form, show

OPERATIONS = ("add", "clamp", "scale", "ablate")
POSITIONS = "all · prompt · generated · last · 3 · 3- · after:TEXT"
MOST = 8


def show_panel(
    name: str,
    found: Bench,
    scan: FeatureScan | None,
    unit: Unit | None = None,
    direction: tuple[Site, Sequence[float], str] | None = None,
) -> None:
    """Edits, prompt and dials on top; the runs, or the dose curve, below. For use in the body of a page.

    Args:
        name: the set that the bench was opened from.
        unit, direction: begin with this when the list is empty or begins with another; a direction is (where it is
            written, its vector, what people call it).
    """
    first = _first(unit, direction)
    edits = table_of_edits(kept(first), first)
    prompt, config = dials(found.model.shape.n_ctx)
    if not edits:
        st.info("The list is empty; add a row with the address of a unit.", icon=":material/tune:")
        return
    if not prompt:
        st.info("Type a prompt to steer.", icon=":material/keyboard:")
        return
    take_along(edits, prompt, name, found, config)
    stamp = hashlib.sha256(
        json.dumps([edits_to_json(edits), prompt, config.model_dump(mode="json")]).encode()
        + found.model.ref.id.encode()
    ).hexdigest()[:16]
    tabs = st.tabs(["Side by side", "Dose curve"], key="st_tab", on_change="rerun")
    command = f"workbench features steer {name} ..."
    if tabs[0].open:
        with tabs[0]:
            result = work.run(
                f"steer {stamp}", "Steer", lambda progress: steer(found, prompt, edits, config, scan, progress),
                name=f"steer {len(edits)} edit(s)", command=command,
                about=f"{2 + config.wrong_sign + config.random_directions} runs of {config.new_tokens} new tokens.",
            )  # fmt: skip
            if result is not None:
                side_by_side(result)
    if tabs[1].open:
        with tabs[1]:
            target = st.text_input(
                "Follow this token (empty: the one that the edits raise most)", key="st_target", placeholder=" Mary"
            )
            curve = work.run(
                f"dose {stamp} {target}", "Draw the curve",
                lambda progress: dose_curve(found, prompt, edits, target or None, config, scan, progress),
                name="dose curve", command=f"{command} --doses",
                about=f"{len(config.strengths)} strengths, with {config.random_directions} random directions each.",
                preview=lambda part: exhibit.figure(part, "st_dose_live"),
            )  # fmt: skip
            if curve is not None:
                doses(curve)


def _first(unit: Unit | None, direction: tuple[Site, Sequence[float], str] | None) -> SteeringEdit | None:
    if unit is not None:
        return SteeringEdit(unit=str(unit))
    if direction is not None:
        site, vector, name = direction
        return SteeringEdit(site=str(site), direction=tuple(float(x) for x in vector), name=name)
    return None


def kept(first: SteeringEdit | None) -> list[SteeringEdit]:
    """The session's list, or the one that the address names; it begins anew when another unit is looked at."""
    wanted = focus().view
    if wanted and st.session_state.get("st_view") != wanted:
        st.session_state["st_view"] = wanted
        saved = state.database().view(wanted) if wanted.startswith("steer-") else None
        if saved is not None:
            _adopt([SteeringEdit.parse(item, source="saved edits") for item in saved.state["edits"]], first)
            st.session_state["st_prompt"] = saved.state.get("prompt", "")
        elif wanted.startswith("steer-"):
            st.warning(
                frame.plain(f"The edits {wanted} of the address are not in this workspace."), icon=":material/link_off:"
            )
    asked = (first.unit or first.name) if first else ""
    if "st_edits" not in st.session_state or (asked and st.session_state.get("st_for") != asked):
        _adopt([first] if first else [], first)
        st.session_state["st_taken"] = []
    _take_added()
    return st.session_state["st_edits"]


def _take_added() -> None:
    """What the drawer added joins the list once, with the rows as they were edited meanwhile."""
    edits, taken = st.session_state.get("st_made") or [], st.session_state.setdefault("st_taken", [])
    edits = edits or st.session_state["st_edits"]
    new = [text for text in st.session_state.get("st_added", []) if text not in taken]
    taken.extend(new)
    listed = {edit.unit for edit in edits}
    fresh = [SteeringEdit(unit=text) for text in new if text not in listed]
    if fresh:
        st.session_state["st_edits"] = [*edits, *fresh][:MOST]
        st.session_state["st_version"] += 1


def _adopt(edits: list[SteeringEdit], first: SteeringEdit | None) -> None:
    st.session_state["st_edits"] = st.session_state["st_made"] = edits
    st.session_state["st_for"] = (first.unit or first.name) if first else ""
    st.session_state["st_version"] = st.session_state.get("st_version", 0) + 1


def table_of_edits(edits: list[SteeringEdit], first: SteeringEdit | None) -> list[SteeringEdit]:
    """The list as a table to edit; a row that makes no sense is told and left out."""
    named = {edit.name or edit.site: edit for edit in edits if edit.direction}
    if first is not None and first.direction:
        named[first.name or first.site] = first
    rows = pd.DataFrame(
        [
            {"what": edit.unit or edit.name or edit.site, "operation": edit.operation, "strength": edit.strength,
             "positions": edit.positions}
            for edit in edits
        ],
        columns=["what", "operation", "strength", "positions"],
    )  # fmt: skip
    changed = st.data_editor(
        rows, num_rows="dynamic", hide_index=True, key=f"st_rows_{st.session_state['st_version']}", alt="Edits",
        column_config={
            "what": st.column_config.TextColumn("unit or direction", width="large", required=True),
            "operation": st.column_config.SelectboxColumn(options=OPERATIONS, required=True, default="add"),
            "strength": st.column_config.NumberColumn("strength, σ", default=4.0, format=form(), required=True),
            "positions": st.column_config.TextColumn(help=POSITIONS, default="all", required=True),
        },
    )  # fmt: skip
    st.caption(f"σ: the root mean square of its activation where it fires. Positions: {POSITIONS}.")
    made = []
    for row in changed.to_dict("records")[:MOST]:
        try:
            made.append(_edit(row, named))
        except ConfigError as error:
            st.warning(frame.plain(str(error)), icon=":material/warning:")
    st.session_state["st_made"] = made
    return made


def _edit(row: dict[str, Any], named: dict[str, SteeringEdit]) -> SteeringEdit:
    what = str(row["what"] or "")
    same = {
        "operation": row["operation"] or "add",
        "strength": 4.0 if row["strength"] is None or row["strength"] != row["strength"] else float(row["strength"]),
        "positions": row["positions"] or "all",
    }
    if what in named:
        return SteeringEdit.parse({**named[what].model_dump(), **same}, source="the list of edits")
    return SteeringEdit.parse({"unit": str(Unit.parse(what)), **same}, source="the list of edits")


def dials(n_ctx: int) -> tuple[str, SteerConfig]:
    """The prompt, how much is generated (a third of a short context at first) and how."""
    if "st_prompt" not in st.session_state:
        st.session_state["st_prompt"] = focus().prompt
    prompt = st.text_area("Prompt", key="st_prompt", height=80)
    one, two, three, four = st.columns(4)
    config = SteerConfig(
        new_tokens=int(one.number_input("New tokens", 0, 200, min(24, n_ctx // 3), key="st_new")),
        temperature=float(two.number_input("Temperature", 0.0, 2.0, 0.7, 0.1, key="st_temperature")),
        random_directions=int(three.number_input("Random directions", 0, 10, 3, key="st_random")),
        seed=int(four.number_input("Seed", 0, 10**6, 0, key="st_seed")),
    )
    return prompt, config


def take_along(edits: list[SteeringEdit], prompt: str, name: str, found: Bench, config: SteerConfig) -> None:
    """The list as a file, as Python, as an address; and a list from a file."""
    text = edits_to_json(edits)

    def save() -> None:
        id = f"steer-{hashlib.sha256((text + prompt).encode()).hexdigest()[:12]}"
        body = {"edits": [edit.model_dump() for edit in edits], "prompt": prompt}
        state.database().save_view(id, name, body)
        st.session_state["st_view"] = id
        set_focus(view=id)

    with st.container(horizontal=True):
        st.button("Keep in the address", icon=":material/link:", on_click=save, key="st_save")
        st.download_button(
            "JSON", data=text, file_name="edits.json", on_click="ignore", icon=":material/download:", key="st_json"
        )
        with st.popover("Python", icon=":material/code:"):
            st.code(edits_to_python(edits, prompt, name, found.model.ref.id, config.seed), language="python")
        with st.popover("From a file", icon=":material/upload:"):
            given = st.file_uploader("Edits as JSON", type="json", key="st_upload", max_upload_size=4)
            if given is not None and st.session_state.get("st_uploaded") != given.file_id:
                st.session_state["st_uploaded"] = given.file_id
                try:
                    _adopt(edits_from_json(given.getvalue().decode("utf-8", errors="replace")), None)
                    st.session_state["st_for"] = focus().unit or ""
                    st.rerun()
                except ConfigError as error:
                    st.error(frame.plain(str(error)), icon=":material/error:")


def side_by_side(result: Result) -> None:
    """Unedited and edited text, what it cost, the next tokens, KL by position."""
    left, right = st.columns(2, gap="large")
    for column, condition in ((left, "unedited"), (right, "edited")):
        with column:
            st.markdown(f"**{condition.capitalize()}**")
            flow(result, condition)
    runs = pd.DataFrame(result.tables["runs"])
    st.dataframe(
        runs, hide_index=True, alt="Runs", placeholder="–",
        column_order=["condition", "seed", "text", "kl", "kl_last", "perplexity", "repetition"],
        column_config={
            "kl": st.column_config.NumberColumn("mean KL, nats", format=form()),
            "kl_last": st.column_config.NumberColumn("KL at the prompt's end", format=form()),
            "perplexity": st.column_config.NumberColumn("perplexity, unedited model", format=form()),
            "repetition": st.column_config.NumberColumn(format="percent"),
            "text": st.column_config.TextColumn(width="large"),
        },
    )  # fmt: skip
    exhibit.figure(result, "st_kl", alt="KL by position")
    rows = result.tables["next_tokens"]
    if rows:
        st.markdown("**Next token after the prompt**")
        components.bars(
            "st_next",
            [
                components.Bar(
                    row["token"], row["difference"], f"{row['unedited']:.1%} → {row['edited']:.1%}", token=True,
                    facts=(("log ratio, nats", show(row["log_ratio"])),),
                )
                for row in sorted(rows, key=lambda row: -abs(row["difference"]))[:12]
            ],
            signed=True,
        )  # fmt: skip
    st.caption(frame.plain("; ".join(f"{row['title']} (σ = {show(row['sigma'])})" for row in result.tables["edits"])))
    exhibit.notes(result)


@st.fragment
def flow(result: Result, condition: str) -> None:
    """A text coloured by its surprise under the unedited model; tokens that the other text has not are orange."""
    components.begin(f"steer {condition}")
    rows = [row for row in result.tables["tokens"] if row["condition"] == condition]
    if not rows:
        st.caption("Cancelled before it was made.")
        return
    values = np.array([row["surprise"] if row["kept"] else -max(row["surprise"], 1.0) for row in rows])
    facts = [
        [
            ("surprise, nats", show(row["surprise"])),
            ("part", "generated" if row["generated"] else "prompt"),
            ("in the unedited text", "yes" if row["kept"] else "no"),
        ]
        for row in rows
    ]
    components.tokens(
        f"st_flow_{condition}", f"{result.id}-{condition}", [row["token"] for row in rows], [row["id"] for row in rows],
        [False] * len(rows), values, "surprise under the unedited model; orange: not in the unedited text", facts, [],
        None, lambda _: None,
    )  # fmt: skip


def doses(result: Result) -> None:
    """The curve and every text behind it."""
    exhibit.figure(result, "st_dose", alt="Dose curve")
    exhibit.notes(result)
    exhibit.table(
        result, "st_doses", "doses",
        columns=["condition", "seed", "strength", "target_probability", "kl_last", "perplexity", "repetition", "text"],
    )  # fmt: skip
