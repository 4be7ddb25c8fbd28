"""Test what a graph claims: set groups of its features to other values, beside random features and the wrong sign."""

import hashlib
import json
from typing import Any

import pandas as pd
import streamlit as st

from workbench.circuits import InterveneConfig, Intervention, ValidateConfig
from workbench.core import CircuitGraph, Result
from workbench.recipes import intervene_by_name, validate_by_name
from workbench.workspace import Entry
from workbench_app import exhibit, frame, state, work
from workbench_app.drawing import Names
from workbench_app.focus import focus
from workbench_app.wording import show

from . import validation

OPERATIONS = {"ablate": "ablate to 0", "clamp": "clamp to a value", "swap": "swap with another prompt"}


def missing(graph: CircuitGraph) -> str:
    """Why nothing can be run on a graph, empty where it can."""
    wanted = graph.manifest.details.get("dictionaries", "")
    if not wanted:
        return "This graph does not say which dictionaries it was traced with, so nothing can be run on it."
    entry = next((e for e in state.workspace().list("dictionaries") if e.name == wanted), None)
    if entry is None or entry.manifest is None:
        return f"The dictionaries {wanted!r} that this graph was traced with are not in this workspace."
    recorded = graph.manifest.parents.get(wanted)
    if recorded and recorded != entry.manifest.content_hash:
        found = f"recorded {recorded[:12]}, found {entry.manifest.content_hash[:12]}"
        return f"The dictionaries {wanted!r} are others than those of the graph ({found}); results would be wrong."
    return ""


def show_panel(entry: Entry, names: Names, found: dict[str, Result], layout: dict[str, Any]) -> None:
    """The tests of this view first, then the validation of the whole graph."""
    graph = names.graph
    problem = missing(graph)
    if problem:
        st.warning(frame.plain(problem), icon=":material/link_off:")
    else:
        _build(entry, names, layout)
    for result in state.tests_of(graph.manifest.content_hash)[:1]:
        show_tests(result, "ci_tests", brief=False)
    older = state.tests_of(graph.manifest.content_hash)[1:]
    if older:
        with st.expander(f"{len(older)} earlier tests"):
            for number, result in enumerate(older[:10]):
                show_tests(result, f"ci_tests_{number}", brief=True)
    st.divider()
    st.markdown("**The whole graph**")
    if not problem and "validation" not in found:
        run = work.run(
            f"validate-{graph.manifest.content_hash[:12]}", "Validate the whole graph",
            lambda progress: validate_by_name(
                state.workspace(), entry.name, ValidateConfig(), progress=progress, loader=state.shelf().loader
            ),
            name=f"validate {entry.name}", command=f"workbench circuit validate {entry.name}",
            about="Features removed one by one and in groups, beside random and untrained ones.",
        )  # fmt: skip
        if run is not None:
            found = state.results_of(graph.manifest.content_hash)
    validation.show_panel(entry, graph, found)


def subjects(names: Names, layout: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    """What can be tested: groups, pinned features, the selected one."""
    place = {node.id: node for node in names.graph.nodes}
    units = ("feature", "code", "neuron")
    found = {f"group {group['name']}": tuple(group["members"]) for group in layout["groups"]}
    chosen = [*layout["pins"], *([focus().node] if focus().node in place else [])]
    for id in dict.fromkeys(chosen):
        if id and place[id].kind in units:
            found[f"{names(place[id])} @{place[id].position}"] = (id,)
    if not found:
        strongest = names.graph.top(5)
        found = {f"{names(names.graph.nodes[i])} @{names.graph.nodes[i].position}": (names.graph.nodes[i].id,)
                 for i in strongest}  # fmt: skip
    return {name: kept for name, ids in found.items() if (kept := tuple(i for i in ids if place[i].kind in units))}


def _build(entry: Entry, names: Names, layout: dict[str, Any]) -> None:
    offered = subjects(names, layout)
    if not offered:
        st.info("This graph has no features to test.")
        return
    chosen = st.multiselect(
        "What is tested", list(offered), default=list(offered)[:4], key=f"ci_subjects_{hash(tuple(offered))}",
        help="Groups, pinned features and the selected one; where nothing is pinned, the strongest features.",
    )  # fmt: skip
    with st.container(horizontal=True, vertical_alignment="bottom"):
        operation = st.segmented_control(
            "Operation", list(OPERATIONS), default="ablate", required=True, format_func=lambda o: OPERATIONS[o],
            key="ci_operation",
        )  # fmt: skip
        value, other = 0.0, ""
        if operation == "clamp":
            value = float(st.number_input("Value", value=0.0, key="ci_clamp", width=120))
        if operation == "swap":
            other = st.text_input("The other prompt", key="ci_other", width=360, max_chars=2000)
        frozen = st.toggle("Attention and norms held", value=True, key="ci_frozen")
        free = st.toggle("Everything free", value=True, key="ci_free")
        seeds = int(st.number_input("Random groups", 0, 50, 5, key="ci_seeds", width=110))
    if not chosen or not (frozen or free) or (operation == "swap" and not other):
        st.caption("Choose what is tested, how it is measured, and for a swap the other prompt.")
        return
    config = InterveneConfig(frozen=frozen, free=free, seeds=seeds)
    wanted = [
        Intervention.parse({"name": name, "nodes": offered[name], "operation": operation, "value": value}, "the test")
        for name in chosen
    ]
    told = json.dumps([config.model_dump(), [one.model_dump() for one in wanted], other], sort_keys=True)
    digest = hashlib.sha256(told.encode()).hexdigest()[:12]
    runs = len(wanted) * (2 + seeds) * (int(frozen) + int(free))
    work.run(
        f"test-{names.graph.manifest.content_hash[:12]}-{digest}", "Run the tests",
        lambda progress: intervene_by_name(
            state.workspace(), entry.name, wanted, config, other or None, progress=progress,
            loader=state.shelf().loader,
        ),
        name=f"test {entry.name}", about=f"{len(wanted)} tests and their controls: {runs} runs of the prompt.",
    )  # fmt: skip


def show_tests(result: Result, key: str, brief: bool) -> None:
    """One Result of interventions: the verdicts, the controls' row, next tokens before and after."""
    scalars = result.scalars
    told = (
        [f"sign agrees in {100 * scalars['sign_agreement']:.0f} %"] if scalars.get("sign_agreement") is not None else []
    )
    if scalars.get("r_squared") is not None:
        told.append(f"R² {scalars['r_squared']:.2f}")
    told += [f"metric {show(scalars['metric_value'])}"] if scalars.get("metric_value") is not None else []
    told += [":orange-badge[partial]"] if result.partial else []
    st.caption(" · ".join(told))
    rows = [
        {
            "": "✓" if row["passes"] else "✗",
            **{name: row[name] for name in ("test", "operation", "nodes", "mode", "predicted", "measured")},
            "random mean ± sd": f"{show(row['random_mean'])} ± {show(row['random_sd'])}",
            "wrong sign": row["wrong_sign"],
        }
        for row in result.tables["tests"]
    ]
    st.dataframe(pd.DataFrame(rows), hide_index=True, key=f"{key}_rows", alt="Predicted and measured changes")
    if brief:
        return
    left, right = st.columns(2)
    with left, frame.guard():
        exhibit.figure(result, f"{key}_fig", alt="Predicted against measured change")
    with right:
        tokens = pd.DataFrame(result.tables["tokens"])
        if len(tokens):
            which = st.selectbox("Next tokens", list(dict.fromkeys(tokens["test"])), key=f"{key}_which")
            tokens = tokens.astype({"before": float, "after": float})
            part = tokens[tokens["test"] == which].assign(change=lambda t: t["after"] - t["before"])
            st.dataframe(
                part[["token", "before", "after", "change"]], hide_index=True, key=f"{key}_tokens",
                alt="Next tokens before and after",
            )  # fmt: skip
    exhibit.notes(result)


def badges(results: list[Result], found: dict[str, Result]) -> dict[str, bool]:
    """Nodes that were tested alone or in a group, and whether the latest test of each passed."""
    told: dict[str, bool] = {}
    single = found["validation"].tables.get("single", []) if "validation" in found else []
    for row in single:
        measured, predicted = row.get("frozen"), row.get("predicted")
        if row.get("set") == "trained" and measured is not None and predicted is not None:
            told[row["node"]] = abs(measured - predicted) <= 0.5 * abs(predicted)
    for result in reversed(results):
        passed = {}
        for row in result.tables["tests"]:
            passed[row["test"]] = passed.get(row["test"], True) and bool(row["passes"])
        told |= {row["node"]: passed[row["test"]] for row in result.tables["nodes"] if row["test"] in passed}
    return told
