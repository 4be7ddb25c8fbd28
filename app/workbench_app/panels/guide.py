"""The guided path: from a prediction to a tested claim, step by step; each step says what it still needs."""

from dataclasses import dataclass

import streamlit as st

from workbench.workspace import Entry
from workbench_app import state

QUICK = "`workbench demo --quick` makes one in half a minute, without any download."


@dataclass(frozen=True)
class Step:
    """One step: the question it answers, where it is done, and what to do when it cannot be done yet."""

    title: str
    question: str
    page: str
    label: str
    ready: bool
    missing: str


def steps(entries: list[Entry]) -> list[Step]:
    """The path for what this workspace holds."""
    graphs = any(entry.folder == "graphs" for entry in entries)
    reports = any(entry.folder == "reports" for entry in entries)
    loaded = bool(state.shelf().names())
    dictionaries = any(entry.folder == "dictionaries" for entry in entries)
    prompt, features, circuits = "views/prompt.py", "views/features.py", "views/circuits.py"
    return [
        Step("See a prediction", "What is expected next, and from which layer on?", prompt, "Open Prompt", loaded,
             "Load a model below."),
        Step("Find its feature", "What is active at a token, and where else does it fire?", features, "Open Features",
             loaded and dictionaries, "Needs a model and dictionaries; the model's own neurons work, too."),
        Step("Trace it", "Which features carried it, through which layers?", circuits, "Open Circuits", graphs, QUICK),
        Step("Test the claim", "Do ablations do what the graph predicts?", circuits, "Open a validation", graphs,
             f"Needs a graph: {QUICK}"),
        Step("Take it along", "One self-contained file for a colleague.", circuits, "Download a report", reports,
             "The demo writes a report beside its graph."),
    ]  # fmt: skip


def show_panel(entries: list[Entry]) -> None:
    """The steps side by side."""
    path = steps(entries)
    for number, (column, step) in enumerate(zip(st.columns(len(path)), path, strict=True), 1):
        with column, st.container(border=True, height="stretch"):
            st.markdown(f"**{number} · {step.title}**")
            st.write(step.question)
            if step.ready:
                st.page_link(step.page, label=step.label, icon=":material/arrow_forward:")
            else:
                st.caption(step.missing)
