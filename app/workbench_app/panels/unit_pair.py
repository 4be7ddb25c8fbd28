"""A second unit beside the one in focus: the same or not, by what both read and write and by where they fire."""

from typing import Any

import streamlit as st

from workbench.core import ConfigError, Result, Unit
from workbench.features import Bench, FeatureScan, compare_units, member_of
from workbench_app import benches, components, exhibit, frame, pinned, state
from workbench_app.components import Bar
from workbench_app.focus import focus, set_focus
from workbench_app.offers import default_model
from workbench_app.panels import peek
from workbench_app.wording import share, show

MEASURES = {
    "written_cosine": ("written, cosine", show, "Cosine of what both write into the residual stream."),
    "read_cosine": ("read, cosine", show, "Cosine of the vectors by which both read."),
    "together": ("together", lambda value: f"{value:,.0f}", "Tokens on which both are active."),
    "lift": ("lift", show, "How much more often B is active where A is than anywhere."),
    "overlap": ("overlap", share, "Tokens of both over tokens of either."),
    "correlation": ("r", show, "Correlation of both activations over all scanned tokens."),
}
OFFERED = 8


def show_panel(unit: Unit, found: Bench, scan: FeatureScan | None) -> None:
    """Choose unit B by address or from what is alike or pinned; numbers of the pair, then both sides."""
    choose(unit, found, scan)
    wanted = str(st.session_state.get("ft_other", "")).strip()
    if not wanted:
        st.caption("Unit B may belong to this set, to another set of this model, or be one of the model's neurons.")
        return
    other = Unit.parse(wanted)
    if other == unit:
        raise ConfigError("unit B is the unit in focus", hint="choose another one")
    opened = benches.bench(focus().model or default_model(), peek.set_of(other))
    member_of(opened.dictionaries, other)
    scanned = benches.scan(opened)
    result = compared(str(unit), str(other), stamp(scan, scanned), found, scan, opened, scanned)
    shown = [(title, form(result.scalars[name]), about) for name, (title, form, about) in MEASURES.items()
             if name in result.scalars]  # fmt: skip
    for column, (title, value, about) in zip(st.columns(len(shown)) if shown else (), shown, strict=True):
        column.metric(title, value, help=about)
    exhibit.notes(result)
    for column, name, one, bench, held in zip(
        st.columns(2, gap="large"), "AB", (unit, other), (found, opened), (scan, scanned), strict=True
    ):
        with column, frame.guard():
            side(name, one, bench, held)
    st.button(
        "Put B into focus, A beside it", key="ft_swap", icon=":material/swap_horiz:", on_click=swap, args=(unit, other)
    )


def choose(unit: Unit, found: Bench, scan: FeatureScan | None) -> None:
    """A box for an address; what is alike, and what is pinned, is offered."""
    near = [row["unit"] for row in benches.of_unit("similar", unit, found, scan).tables["similar"][:OFFERED]]
    offered = [text for text in dict.fromkeys([*near, *map(str, pinned.units())]) if text != str(unit)]
    labels = {str(named): text for named, text in state.database().labels().items()}

    def take() -> None:
        st.session_state["ft_other"] = st.session_state["ft_offered"] or ""

    left, right = st.columns(2, vertical_alignment="bottom")
    left.text_input(
        "Unit B", key="ft_other", bind="query-params", placeholder=f"its address, for example {offered[0]}"
        if offered else "its address", max_chars=300,
    )  # fmt: skip
    st.session_state["ft_offered"] = None
    right.selectbox(
        "or one that is alike or pinned", offered, key="ft_offered", index=None, on_change=take,
        format_func=lambda text: f"{labels[text]} ({text})" if text in labels else text, placeholder="choose",
    )  # fmt: skip


def stamp(*scans: FeatureScan | None) -> str:
    return " ".join([str(state.workspace().path), *(s.manifest.content_hash if s else "" for s in scans)])


@st.cache_resource(max_entries=24, show_spinner="Comparing the units …")
def compared(one: str, other: str, made_from: str, _found: Bench, _scan: Any, _opened: Bench, _scanned: Any) -> Result:
    """The numbers of a pair."""
    return compare_units((_found, _scan, Unit.parse(one)), (_opened, _scanned, Unit.parse(other)))


@st.fragment
def side(name: str, unit: Unit, found: Bench, scan: FeatureScan | None) -> None:
    """One of the two: its label, its strongest examples, what it promotes and suppresses by the weights."""
    components.begin(f"unit pair {name}")
    label = state.database().labels(unit.artifact).get(unit, "")
    st.markdown(f"**{name}** · {frame.plain(label or f'{unit.kind} {unit.index}')}")
    st.caption(frame.plain(str(unit)))
    if scan is None:
        st.caption("Not scanned yet: no examples.")
    else:
        result = benches.of_unit("occurrences", unit, found, scan)
        numbers = result.scalars
        st.caption(f"density {share(numbers['density'])} · largest {show(numbers['largest'])}")
        rows = [row for row in result.tables["examples"] if row["set"] == "top"][:6]
        if rows:
            components.examples(f"ft_pair_{name}", [{**row, "source": row["document"]} for row in rows])
        else:
            st.caption("It never fired on the scanned text.")
    with frame.guard():
        (row,) = benches.of_unit("effects", unit, found, scan).tables["unit_effects"]
        pairs = [*row["promoted"][:8], *reversed(row["suppressed"][:8])]
        components.bars(
            f"ft_pair_writes_{name}", [Bar(str(text), float(value), show(value), token=True) for text, value in pairs],
            signed=True, title="by the weights",
        )  # fmt: skip


def swap(unit: Unit, other: Unit) -> None:
    st.session_state["ft_other"] = str(unit)
    set_focus(unit=str(other), dictionary=peek.set_of(other))
