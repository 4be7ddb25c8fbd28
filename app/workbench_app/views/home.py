"""Home: the guided path, what the workspace holds, the model, the machine.

The guided path comes first and needs neither torch nor pandas, so that a first visitor reads it at once.
"""

import os
import platform

import streamlit as st

from workbench.workspace import Entry, cache_folder, folder_bytes
from workbench_app import frame, state
from workbench_app.focus import focus, set_focus
from workbench_app.offers import default_model, known
from workbench_app.panels import guide, precomputed_pass
from workbench_app.wording import size

MAKES = {
    "dictionaries": ("Dictionaries", ":material/apps:", "workbench train"),
    "graphs": ("Graphs", ":material/hub:", "workbench circuit trace"),
    "results": ("Results", ":material/query_stats:", "workbench evaluate"),
    "reports": ("Reports", ":material/description:", "workbench circuit report"),
}


def cards(entries: list[Entry]) -> list[tuple[str, int, str]]:
    """Heading, count and remark of every card."""
    at_hand = sum(offer.where != "to download" for offer in known())
    cached = size(folder_bytes(cache_folder() / "models"))
    found = [(":material/deployed_code: Models", at_hand, f"at hand; {cached} in the cache")]
    for kind, (title, icon, command) in MAKES.items():
        mine = [entry.bytes for entry in entries if entry.folder == kind]
        found.append((f"{icon} {title}", len(mine), f"{size(sum(mine))} on disk" if mine else f"none yet: `{command}`"))
    return found


def summary(entries: list[Entry]) -> None:
    shown = cards(entries)
    for column, (heading, count, remark) in zip(st.columns(len(shown)), shown, strict=True):
        with column, st.container(border=True, height="stretch"):
            st.metric(heading, count, width="content")
            st.caption(remark)


def models() -> None:
    import pandas as pd

    offers, loaded = known(), state.shelf().names()
    rows = [
        {
            "name": offer.name,
            "where": "in memory" if offer.name in loaded else offer.where,
            "about": offer.about,
        }
        for offer in offers
    ]
    picked = st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        key="home_models",
        alt="Known models",
    )
    chosen = [offers[row].name for row in picked["selection"]["rows"]]
    name = chosen[0] if chosen else focus().model or default_model()
    with st.container(horizontal=True, vertical_alignment="center"):
        if name in loaded:
            st.button(f"Unload {name}", on_click=state.shelf().unload, args=(name,), icon=":material/eject:")
        else:
            st.button(f"Load {name}", type="primary", icon=":material/play_arrow:", on_click=load, args=(name,))
        st.caption("A folder, a .gguf file or a Hugging Face id: `workbench app --model NAME`.")


def load(name: str) -> None:
    set_focus(model=name, layer=None, head=None)
    state.start_loading(name)


def recent(entries: list[Entry]) -> None:
    import pandas as pd

    if not entries:
        st.info("The workspace is empty. `workbench demo --quick` fills it with a graph, its validation and a report.")
        return
    rows = [
        {
            "kind": entry.folder,
            "name": entry.name,
            "made": entry.manifest.created if entry.manifest else None,
            "size": size(entry.bytes),
            "state": entry.problem or ("partial" if entry.manifest and entry.manifest.partial else ""),
        }
        for entry in entries[:8]
    ]
    if not any(row["state"] for row in rows):
        rows = [{key: value for key, value in row.items() if key != "state"} for row in rows]
    config = {"made": st.column_config.DatetimeColumn(format="D MMM YYYY, HH:mm")}
    st.dataframe(
        pd.DataFrame(rows).assign(made=lambda t: pd.to_datetime(t["made"])),
        hide_index=True,
        column_config=config,
        alt="Recent artifacts",
    )


def environment() -> None:
    import pandas as pd
    import torch

    from workbench.core import versions

    found = versions()
    facts = {
        "processor": f"{platform.machine()}, {os.cpu_count()} threads, {torch.get_num_threads()} in use",
        "accelerator": torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none",
        "workspace": str(state.workspace().path),
        **{name: found[name] for name in ("python", "mech-workbench", "torch", "transformers")},
    }
    st.dataframe(pd.DataFrame(facts.items(), columns=["what", "value"]), hide_index=True, alt="Environment")


frame.actions("from workbench.workspace import Workspace\n\nWorkspace().list()")
with frame.guard():
    held = state.workspace().list()
    guide.show_panel(held)
    if not state.shelf().names():
        precomputed_pass.show_panel()
    summary(held)
    left, right = st.columns([3, 2], gap="large")
    with left:
        st.subheader("Models", anchor=False)
        with frame.guard():
            models()
        st.subheader("Recent", anchor=False)
        recent(held)
    with right:
        st.subheader("This machine", anchor=False)
        environment()
