"""One code in full: its contexts, how well it tells an expression, its neighbours, and steering by it."""

import streamlit as st

from workbench.core import Result, Unit
from workbench.features import Bench, FeatureScan
from workbench_app import benches, code_facts, components, exhibit, frame
from workbench_app.components import Bar
from workbench_app.panels import steering, unit_card, unit_label
from workbench_app.wording import share, show

EXPRESSION = r"\b(the)\b"
"""What the box for an expression begins with."""


def show_panel(name: str, unit: Unit, found: Bench, scan: FeatureScan) -> None:
    """Header, label, and the tabs; only the open one computes."""
    size = found.member(unit).width // int(getattr(found.member(unit).config, "groups", 1))
    st.markdown(f"### {frame.plain(f'Code {unit.index % size} of codebook {unit.index // size} at {unit.site}')}")
    count = int(scan.counts(unit.site)[unit.index])
    st.caption(frame.plain(f"{unit}; on {count:,} of {scan.counted_tokens:,} tokens, {share(scan.density(unit))}."))
    if not count:
        st.markdown(f":red-badge[dead] 0 of {scan.counted_tokens:,} tokens.")
    left, right = st.columns([7, 3], gap="large")
    with right:
        unit_label.show_panel(unit)
    with left:
        tabs = {
            "Contexts": lambda: contexts(unit, found, scan),
            "Examples": lambda: examples(unit, found, scan),
            "Expression": lambda: expression(unit, found, scan),
            "Relatives": lambda: relatives(unit, found, scan),
            "Steer": lambda: steering.show_panel(name, found, scan, unit),
        }
        made = st.tabs(list(tabs), key="cb_tab", on_change="rerun", bind="query-params")
        for tab, draw in zip(made, tabs.values(), strict=True):
            if tab.open:
                with tab, frame.guard():
                    draw()


def contexts(unit: Unit, found: Bench, scan: FeatureScan) -> None:
    """The tokens before, at and after its places, and where in a sequence they lie."""
    result = code_facts.contexts(unit, found, scan)
    if not result.scalars["count"]:
        st.caption("It never stood on the scanned text, so it has no contexts.")
        return
    for column, place in zip(st.columns(3), ("before", "at", "after"), strict=True):
        rows = [row for row in result.tables["tokens"] if row["place"] == place]
        with column:
            bars = [Bar(row["token"], row["share"], f"{row['count']:,}", token=True) for row in rows]
            components.bars(f"cb_{place}_{unit}", bars, title=f"token {place}", empty="none")
    st.caption("Where in a sequence it stands:")
    exhibit.figure(result, f"cb_positions_{unit}", height=220, alt="Places of the code by position in a sequence")
    exhibit.download(result, f"cb_contexts_{unit}", "tokens")


@st.fragment
def examples(unit: Unit, found: Bench, scan: FeatureScan) -> None:
    """Some of its places, drawn at random: a code has no strength by which they could be ranked."""
    components.begin("code examples")
    result = benches.of_unit("occurrences", unit, found, scan)
    rows = [row for row in result.tables["examples"] if row["set"] == "random"]
    if not rows:
        st.caption("It never stood on the scanned text.")
        return
    unit_card.lead_on()
    shown = [{**row, "source": f"{row['document']}, position {row['position']}"} for row in rows]
    components.examples(f"cb_examples_{unit}", shown, on_pick=unit_card.opener(rows))
    st.caption(frame.plain(f"A click makes the example the prompt. {' '.join(result.notes)}"))


def expression(unit: Unit, found: Bench, scan: FeatureScan) -> None:
    """How well this code tells the tokens that a regular expression marks, beside the codes that do best."""
    pattern = st.text_input("Expression with one group", value=EXPRESSION, key="cb_pattern", bind="query-params")
    if not pattern:
        return
    result = code_facts.expression(pattern, found, scan)
    mine = next((row for row in result.tables["units"] if row["unit"] == str(unit)), None)
    with st.container(horizontal=True):
        st.metric("precision", share(mine["precision"] if mine else 0.0))
        st.metric("recall", share(mine["recall"] if mine else 0.0))
        st.metric("places", f"{int(scan.counts(unit.site)[unit.index]):,}")
    st.caption("The codes that tell these tokens best; a row goes there:")
    best = Result("unit search", tables={"units": result.tables["units"][:50]})
    unit_card.linked(best, "units", f"cb_expression_{unit}")
    exhibit.notes(result)


def relatives(unit: Unit, found: Bench, scan: FeatureScan) -> None:
    """Codes that write alike, and codes that go with it, before it and after it."""
    similar = benches.of_unit("similar", unit, found, scan)
    st.markdown("**Similar**: writes nearly the same, or stands on the same tokens")
    unit_card.linked(similar, "similar", f"cb_similar_{unit}")
    rows = code_facts.relations(unit, found, scan).tables["relations"]
    for relation, title in (("before", "Precede it"), ("with", "Go with it"), ("after", "Follow it")):
        st.markdown(f"**{title}** more often than by chance")
        own = [
            {"unit": row["other"], "count": row["count"], "of its places": show(row["given"]), "lift": row["lift"]}
            for row in rows
            if row["relation"] == relation
        ]
        unit_card.linked(Result("code relations", tables={relation: own}), relation, f"cb_{relation}_rows_{unit}")
