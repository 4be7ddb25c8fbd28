"""Jobs: the long work of this server, running and done."""

import streamlit as st

from workbench_app import frame, state


def row(job) -> None:
    with st.container(border=True):
        if job.active:
            frame.show_job(job, key="jobs")
        else:
            colour = {"done": "green", "failed": "red"}.get(job.state, "gray")
            st.markdown(f":{colour}-badge[{job.state}] **{frame.plain(job.name)}** · {job.seconds:.1f} s")
            if job.error:
                st.error(frame.plain(job.error), icon=":material/error:")
        if job.command:
            st.caption(f"The same on the command line: `{job.command}`")


frame.actions("from workbench.workspace import JobManager")
with frame.guard():
    found = state.jobs().jobs()

    @st.fragment(run_every=0.5 if any(job.active for job in found) else None)
    def listing() -> None:
        for job in state.jobs().jobs():
            row(job)

    if found:
        listing()
        st.button("Clear what has ended", on_click=state.jobs().clear, disabled=all(job.active for job in found))
    else:
        st.info("No work has been started yet. Loading a model, for one, is a job.", icon=":material/pending_actions:")
