"""Settings: where things lie, what they take, and how to let go of them."""

import pandas as pd
import streamlit as st

from workbench.workspace import cache_folder, folder_bytes
from workbench_app import frame, state
from workbench_app.wording import size

frame.actions("from workbench.workspace import cache_folder, workspace_folder")
with frame.guard():
    rows = [
        {
            "what": "workspace",
            "folder": str(state.workspace().path),
            "size": size(folder_bytes(state.workspace().path)),
            "change it": "WORKBENCH_HOME or --workspace",
        },
        {
            "what": "cache of fetched models and text",
            "folder": str(cache_folder()),
            "size": size(folder_bytes(cache_folder())),
            "change it": "WORKBENCH_CACHE; empty it with: workbench cache clear",
        },
    ]
    st.dataframe(pd.DataFrame(rows), hide_index=True, alt="Folders")
    st.subheader("Memory", anchor=False)
    loaded = state.shelf().names()
    st.write(f"Models in memory: {', '.join(loaded) or 'none'}.")
    for name in loaded:
        st.button(
            f"Unload {name}", key=f"unload_{name}", on_click=state.shelf().unload, args=(name,), icon=":material/eject:"
        )
    st.button("Forget computed passes", on_click=state.forget_passes)
    st.subheader("Look", anchor=False)
    st.write("Light or dark follows the preference of the browser.")
    st.caption("Nothing is sent anywhere: usage statistics are off and every file is served from this machine.")
