"""The app's frame: `streamlit run` starts here."""

from pathlib import Path

import streamlit as st

from workbench_app import frame, state

st.set_page_config(page_title="workbench", page_icon=str(Path(__file__).with_name("icon.svg")), layout="wide")

sections = {
    "Explore": [
        st.Page("views/home.py", title="Home", icon=":material/home:", url_path="home", default=True),
        st.Page("views/prompt.py", title="Prompt", icon=":material/text_fields:", url_path="prompt"),
    ],
    "Explain": [st.Page("views/circuits.py", title="Circuits", icon=":material/hub:", url_path="circuits")],
    "System": [
        st.Page("views/jobs.py", title="Jobs", icon=":material/pending_actions:", url_path="jobs"),
        st.Page("views/settings.py", title="Settings", icon=":material/settings:", url_path="settings"),
    ],
}
page = st.navigation(sections)
frame.tighten()
with frame.guard():
    state.arrive(page.url_path or "home")
    frame.sidebar()
    page.run()
