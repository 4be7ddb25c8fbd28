"""The units of a member as a table that is paged by the server, and its map, and the five ways to search for one."""

import hashlib
from typing import Any

import pandas as pd
import streamlit as st
import torch

from workbench.core import Result, Unit
from workbench.features import Bench, FeatureScan, SearchConfig, contrast_texts, search_pattern, unit_of
from workbench.recipes import labels_of
from workbench_app import benches, exhibit, frame, state, work
from workbench_app.focus import set_focus
from workbench_app.panels import peek, unit_map
from workbench_app.wording import form

PER_PAGE = 200
MODES = {
    "Browse": "browse",
    "Map": "map",
    "Words of labels": "label",
    "Regular expression": "pattern",
    "Fires on this text": "text",
    "Writes this token": "token",
    "Contrast": "contrast",
}
SORTS = {
    "fires most often": ("count", True),
    "fires least often": ("count", False),
    "largest activation": ("largest", True),
    "number": ("", False),
    "closest twin": ("twin_cosine", True),
}
NUMBERS = {
    "activation": "how strongly it is active here",
    "relative": "its activation over what is usual for it (rms where it fires)",
    "logit": "what it adds to the logit of the likeliest token by its direct path",
}
FLAGS = ("dead", "dense", "duplicate")


def show_panel(name: str, found: Bench, scan: FeatureScan | None) -> None:
    """The mode on top; a row of whatever it shows puts that unit into focus."""
    mode = st.segmented_control(
        "Find units", list(MODES), default="Browse", required=True, key="ft_mode", bind="query-params",
        label_visibility="collapsed",
    )  # fmt: skip
    if MODES[mode] == "browse":
        if scan is not None:
            browse(name, found, scan)
        return
    if MODES[mode] == "map":
        unit_map.show_panel(name, found, scan)
        return
    result = searched(MODES[mode], name, found, scan)
    if result is not None:
        listing(result, name)


def browse(name: str, found: Bench, scan: FeatureScan) -> None:
    """Every unit of one member: 200 rows a page, what is hidden counted."""
    left, middle, right = st.columns([2, 2, 4], vertical_alignment="bottom")
    members = list(scan.members)
    member = left.selectbox("Where", members, key="ft_member", bind="query-params")
    sort = middle.selectbox("Sorted by", list(SORTS), key="ft_sort", bind="query-params")
    with right:
        hide = st.pills("Hide", FLAGS, selection_mode="multi", default=["dead"], key="ft_hide", bind="query-params")
    table = scan.table(member)
    shown = torch.ones(scan.members[member], dtype=torch.bool)
    reasons = []
    for flag in hide or ():
        if hidden := int((shown & table[flag]).sum()):
            reasons.append(f"{hidden:,} {flag}")
        shown &= ~table[flag]
    index = order(table, shown, sort)
    st.caption(
        f"{len(index):,} of {scan.members[member]:,} units shown"
        + (f"; hidden: {', '.join(reasons)}." if reasons else ".")
    )
    if not index:
        st.info("Every unit is hidden; take a mark away from Hide.", icon=":material/filter_alt:")
        return
    pages = -(-len(index) // PER_PAGE)
    page = st.pagination(pages, key="ft_page", bind="query-params") if pages > 1 else 1
    chosen = index[(page - 1) * PER_PAGE : page * PER_PAGE]
    st.session_state["ft_order"] = [str(unit_of(found.dictionaries, member, i)) for i in index[:2000]]
    labels = labels_of(state.workspace(), name)
    made_from = f"{scan.manifest.content_hash} {member}"
    promoted = benches.promoted(made_from, member, tuple(chosen), found)
    counts = scan.statistic("histogram", member)[chosen]
    used = counts.sum(0).nonzero()[:, 0]
    counts = counts[:, int(used[0]) : int(used[-1]) + 1] if len(used) else counts[:, :1]
    rows = []
    for number, i in enumerate(chosen):
        unit = unit_of(found.dictionaries, member, i)
        text, source, score = next(iter(labels.get(unit, [])), ("", "", None))
        rows.append(
            {
                "unit": i,
                "label": text,
                "by": source if source in ("", "you") else f"{source} {score:.2f}",
                "density": float(table["density"][i]),
                "largest": abs(float(table["largest"][i])),
                "activations": (counts[number].double() + 1).log10().tolist(),
                "promotes": promoted[number],
                "flags": " ".join(flag for flag in FLAGS if bool(table[flag][i])),
                "twin": f"{int(table['twin'][i])} ({float(table['twin_cosine'][i]):.2f})",
            }
        )
    picker(pd.DataFrame(rows), [str(unit_of(found.dictionaries, member, i)) for i in chosen], f"ft_rows_{member}")


def order(table: dict[str, Any], shown: torch.Tensor, sort: str) -> list[int]:
    """Numbers of the shown units as they are sorted."""
    key, descending = SORTS[sort]
    numbers = shown.nonzero()[:, 0]
    if not key:
        return numbers.tolist()
    values = table[key][numbers].double()
    values = values.abs() if key == "largest" else values
    return numbers[values.argsort(descending=descending, stable=True)].tolist()


def picker(rows: pd.DataFrame, units: list[str], key: str, drawer: bool = False) -> None:
    """A table of units; a row puts its unit into focus, or opens it in the drawer."""
    stamp = hashlib.sha256(" ".join(units[:50]).encode()).hexdigest()[:8]

    def chosen() -> None:
        picked = st.session_state[f"{key}_{stamp}"]["selection"]["rows"]
        if picked and drawer:
            peek.ask(units[picked[0]])
        elif picked:
            set_focus(unit=units[picked[0]])

    largest = max((abs(value) for value in rows["largest"].tolist()), default=1.0) if "largest" in rows else 1.0
    filled = rows.dropna(axis="columns", how="all")
    numbers = {name: text for name, text in NUMBERS.items() if name in rows}
    st.dataframe(
        rows,
        hide_index=True,
        height=min(330, 38 + 35 * max(len(rows), 1)),
        on_select=chosen,
        selection_mode="single-row",
        key=f"{key}_{stamp}",
        column_order=[name for name in filled if set(map(str, filled[name])) != {""}],
        placeholder="–",
        column_config=exhibit.headed(rows)
        | {name: st.column_config.NumberColumn(help=text, format=form()) for name, text in numbers.items()}
        | {
            "density": st.column_config.NumberColumn(format="percent", help="share of the scanned tokens"),
            "largest": st.column_config.ProgressColumn(min_value=0.0, max_value=largest or 1.0, format=form()),
            "activations": st.column_config.BarChartColumn(help="how often how strong, both on log scales"),
            "label": st.column_config.TextColumn(width="medium"),
            "unit": st.column_config.Column(width="small" if pd.api.types.is_numeric_dtype(rows["unit"]) else 270),
        },
        alt="Units",
    )
    if drawer:
        peek.answer()


def searched(mode: str, name: str, found: Bench, scan: FeatureScan | None) -> Result | None:
    """The result of a search, None while there is nothing to search for; the query is in the address."""
    source = scan.manifest.content_hash if scan else found.model.ref.weight_hash
    if mode == "contrast":
        return contrast(found, source)
    if mode == "pattern" and scan is None:
        st.info("A regular expression is matched against scanned text; scan some first.", icon=":material/search_off:")
        return None
    asks = {
        "label": ("Words that the label holds", "plural nouns"),
        "pattern": ("Expression; its one group marks the token that the unit should fire on", r"\b(1[0-9]{3})\b"),
        "text": ("Text", "paste something"),
        "token": ("Token; a leading space counts", " Mary"),
    }
    label, placeholder = asks[mode]
    query = st.text_input(label, key=f"ft_q_{mode}", bind="query-params", placeholder=placeholder)
    if not query:
        return None
    if mode == "pattern":
        assert scan is not None
        return work.run(
            f"pattern {source} {query}", "Search every unit",
            lambda progress: search_pattern(found, scan, query, progress=progress),
            name=f"search for {query[:30]}", about="Reads the stored codes of every member; no pass of the model.",
            uses_model=False,
        )  # fmt: skip
    labels = labels_of(state.workspace(), name) if mode == "label" else None
    stamp = str(hash(str(labels))) if labels is not None else ""
    return benches.search(mode, query, source + stamp, found, scan, labels)


def contrast(found: Bench, source: str) -> Result | None:
    """Two sets of texts, a line each."""
    left, right = st.columns(2)
    first = left.text_area("Texts, one a line", key="ft_a", bind="query-params", height=120)
    second = right.text_area("Against these", key="ft_b", bind="query-params", height=120)
    sides = [[line for line in text.splitlines() if line.strip()] for text in (first, second)]
    if min(map(len, sides)) < 2:
        st.caption("Two texts or more on either side; the p-values come from relabelling them.")
        return None
    config = SearchConfig()
    return work.run(
        f"contrast {source} {sides}", "Contrast",
        lambda progress: contrast_texts(found, sides[0], sides[1], config, progress),
        name=f"contrast of {len(sides[0])} and {len(sides[1])} texts",
        about=f"{config.permutations:,} relabellings, some seconds.",
    )  # fmt: skip


def listing(result: Result, name: str) -> None:
    """What a search found; a row puts its unit into focus."""
    rows = result.df("units") if result.tables["units"] else pd.DataFrame()
    if rows.empty:
        st.info("Nothing found.", icon=":material/search_off:")
    else:
        units = [str(unit) for unit in rows["unit"]]
        st.session_state["ft_order"] = units
        labels = labels_of(state.workspace(), name)
        texts = [next((text for text, *_ in labels.get(Unit.parse(unit), [])), "") for unit in units]
        if "label" not in rows:
            rows.insert(1, "label", texts)
        picker(rows, units, "ft_found")
        exhibit.download(result, "ft_found_csv", "units")
    exhibit.notes(result)
    if result.kind == "unit search" and "targets" in result.scalars:
        st.caption(frame.plain(f"{result.scalars['targets']:,.0f} tokens match."))
