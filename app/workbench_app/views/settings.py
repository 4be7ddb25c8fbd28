"""Settings: how pages look, where things lie, what they take, and how to let go of them."""

import json

import pandas as pd
import streamlit as st

from workbench.figures import legible
from workbench.workspace import cache_folder, clear_cache, folder_bytes
from workbench_app import comfort, frame, state
from workbench_app.wording import show, size

PREFIX = "se_"


def save(name: str) -> None:
    """Keep what a widget says, and do what follows from it."""
    comfort.choose(**{name: st.session_state[PREFIX + name]})
    state.shelf().trim()


def reset() -> None:
    comfort.choose(**comfort.Comfort().model_dump())
    state.shelf().trim()


def look() -> None:
    """Digits, context, colours: kept in the workspace, in force on every page at once."""
    told, fields = comfort.chosen(), comfort.Comfort.model_fields
    for name, value in told.model_dump().items():
        st.session_state[PREFIX + name] = value
    left, middle, right = st.columns(3)
    left.slider(
        "Digits of a number", 2, 6, key=f"{PREFIX}digits", on_change=save, args=("digits",),
        help=frame.plain(f"{fields['digits'].description}; files that you download hold all of them."),
    )  # fmt: skip
    left.caption(frame.plain(f"As in {show(1234.56789)}, {show(0.0123456789)}, {show(3.14159265)}."))
    middle.slider(
        "Tokens on either side of an example", 2, 64, key=f"{PREFIX}context", on_change=save, args=("context",),
        help="On the pages about features and codes.",
    )  # fmt: skip
    right.segmented_control(
        "Colours", list(comfort.COMPONENTS), key=f"{PREFIX}colours", on_change=save, args=("colours",), required=True,
        help="The first is for what is above zero, the second for what is below. Either pair can be told apart by "
        "people who see fewer colours; reports and pictures that leave the app keep blue and orange.",
    )  # fmt: skip
    st.button(
        "Back to the first settings", on_click=reset, type="tertiary", icon=":material/restart_alt:",
        key=f"{PREFIX}reset", disabled=told == comfort.Comfort(),
    )  # fmt: skip
    st.caption("Light or dark follows the preference of the browser. These settings belong to the workspace.")


def folders() -> None:
    """Where things lie, and the button that empties the cache."""
    rows = [
        {
            "what": "workspace",
            "folder": legible(str(state.workspace().path)),
            "size": size(folder_bytes(state.workspace().path)),
            "change it": "WORKBENCH_HOME or --workspace",
        },
        {
            "what": "cache of fetched models and text",
            "folder": legible(str(cache_folder())),
            "size": size(folder_bytes(cache_folder())),
            "change it": "WORKBENCH_CACHE",
        },
    ]
    st.dataframe(pd.DataFrame(rows), hide_index=True, alt="Folders")

    def clear() -> None:
        st.toast(f"{size(clear_cache())} freed", icon=":material/delete:")

    with st.popover("Empty the cache", icon=":material/delete:", disabled=not folder_bytes(cache_folder())):
        st.write("Every fetched model and text is deleted, for all workspaces of this machine; what is needed again "
                 "is fetched again. The workspace and the models in memory stay.")  # fmt: skip
        st.button(f"Delete {rows[1]['size']}", key=f"{PREFIX}clear", on_click=clear, type="primary")


def memory() -> None:
    """The models in memory, how many may be, and what was computed on prompts."""
    loaded = state.shelf().names()
    st.slider(
        "Models in memory at once", 1, 4, key=f"{PREFIX}models", on_change=save, args=("models",), width=320,
        help="When another is loaded, the one used longest ago is let go.",
    )  # fmt: skip
    st.markdown(frame.plain(f"In memory: {', '.join(loaded) or 'none'}."))
    with st.container(horizontal=True):
        for name in loaded:
            st.button(
                frame.plain(f"Unload {name}"), key=f"unload_{name}", on_click=state.shelf().unload, args=(name,),
                icon=":material/eject:",
            )  # fmt: skip
        st.button("Forget computed passes", on_click=state.forget_passes)


def told_state() -> str:
    from workbench.recipes import diagnostics

    return json.dumps(diagnostics(state.workspace(), state.jobs().jobs()), indent=1)


frame.actions("from workbench.workspace import cache_folder, workspace_folder")
with frame.guard():
    st.subheader("Look", anchor=False)
    look()
    st.subheader("Folders", anchor=False)
    folders()
    st.subheader("Memory", anchor=False)
    memory()
    st.subheader("When something goes wrong", anchor=False)
    st.download_button(
        "Diagnostics (JSON)", data=told_state, file_name="workbench-diagnostics.json", on_click="ignore",
        icon=":material/download:", key=f"{PREFIX}diagnostics",
    )  # fmt: skip
    st.caption("Versions, the machine, what is registered, how much the workspace holds, where jobs failed. No prompt, "
               "no label, no name of yours and no text is in it.")  # fmt: skip
    st.caption("Nothing is sent anywhere: usage statistics are off and every file is served from this machine.")
