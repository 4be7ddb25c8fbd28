"""The app's frame: `streamlit run` starts here."""

import sys
from pathlib import Path

import streamlit as st

from workbench_app import components, context, frame, settle, state
from workbench_app.panels import shortcuts

PAGES = {
    "Explore": {
        "home": (
            "Home",
            ":material/home:",
            "From a prompt to a tested claim about a circuit. Everything runs on this machine; nothing leaves it.",
        ),
        "prompt": (
            "Prompt",
            ":material/text_fields:",
            "What the model expects, position by position, and how each layer and head takes part.",
        ),
        "features": (
            "Features",
            ":material/grain:",
            "Where a unit fires, what it writes, what changes when it is turned up or down.",
        ),
        "codebooks": (
            "Codebooks",
            ":material/grid_view:",
            "Which codes a discretised model uses, in what contexts, and what they do when they are put in.",
        ),
    },
    "Explain": {
        "circuits": (
            "Circuits",
            ":material/hub:",
            "Which features, at which tokens, carried a prediction; does the model agree when they are removed?",
        ),
        "bigrams": (
            "Bigrams",
            ":material/link:",
            "How much of the model is a table of which token follows which, and where it is kept.",
        ),
        "sparsity": (
            "Sparsity",
            ":material/blur_on:",
            "How few neurons a token needs, and what it costs to keep only those.",
        ),
        "probes": (
            "Probes",
            ":material/troubleshoot:",
            "What can be read from the activations of a layer, beside what chance would read.",
        ),
    },
    "Produce": {
        "runs": ("Runs", ":material/show_chart:", "How trainings went: curves, settings, checkpoints."),
        "reports": ("Reports", ":material/description:", "What was found, in one file for a colleague."),
    },
    "System": {
        "jobs": (
            "Jobs",
            ":material/pending_actions:",
            "Long work runs in the background and survives a change of page.",
        ),
        "settings": (
            "Settings",
            ":material/settings:",
            "How pages show numbers and colours, where things lie, what they take.",
        ),
    },
}

st.set_page_config(page_title="workbench", page_icon=str(Path(__file__).with_name("icon.svg")), layout="wide")
if not frame.admitted():
    st.stop()
purposes = {name: text for pages in PAGES.values() for name, (_, _, text) in pages.items()}
page = st.navigation(
    {
        section: [
            st.Page(f"views/{name}.py", title=title, icon=icon, url_path=name, default=name == "home")
            for name, (title, icon, _) in pages.items()
        ]
        for section, pages in PAGES.items()
    }
)
name = page.url_path or "home"
frame.tighten()
frame.title("workbench" if name == "home" else page.title, purposes[name])
parts = [frame.sidebar, lambda: context.bar(name), page.run]
waiting = st.empty()
if "torch" not in sys.modules:  # the first visit of all waits for it; only the top of Home does without
    if name == "home":
        parts.reverse()
    else:
        waiting.skeleton(height=240)
with frame.guard():
    state.arrive(name)
    for draw in parts:
        draw()
    with st.sidebar:
        components.addresses()
        shortcuts.show_panel(name)
waiting.empty()
settle.settle()
