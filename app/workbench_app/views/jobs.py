"""Jobs: the long work of this server, running and done."""

import streamlit as st

from workbench.workspace import Job
from workbench_app import frame, state

TAIL = 12  # lines of a job's log
AGAIN = ("failed", "cancelled")


def row(job: Job) -> None:
    with st.container(border=True):
        if job.active:
            frame.show_job(job, key="jobs")
        else:
            colour = {"done": "green", "failed": "red"}.get(job.state, "gray")
            st.markdown(f":{colour}-badge[{job.state}] **{frame.plain(job.name)}** · {job.seconds:.1f} s")
            if job.error:
                st.error(frame.plain(job.error), icon=":material/error:")
        with st.container(horizontal=True, vertical_alignment="center"):
            if job.state in AGAIN:
                st.button(
                    "Retry", key=f"jobs_retry_{job.id}", icon=":material/refresh:", on_click=state.retry_job,
                    args=(job,),
                )  # fmt: skip
            if job.page:
                ended = job.state == "done" and job.address
                st.page_link(
                    f"views/{job.page}.py", label="Open result" if ended else f"Open {job.page.capitalize()}",
                    icon=":material/arrow_forward:", query_params=job.address,
                )  # fmt: skip
            if job.command:
                st.caption(f"The same on the command line: {frame.code(job.command)}")
        if job.log:
            with st.expander("Log"):
                st.code("\n".join(list(job.log)[-TAIL:]), language=None)


frame.actions("from workbench.workspace import JobManager")
with frame.guard():
    found = state.jobs().jobs()
    polled = any(job.active for job in found)

    @st.fragment(run_every=0.5 if polled else None)
    def listing() -> None:
        shown = state.jobs().jobs()
        if any(job.active for job in shown) != polled:
            st.rerun()
        for job in shown:
            row(job)

    if found:
        listing()
        st.button("Clear what has ended", on_click=state.jobs().clear, disabled=all(job.active for job in found))
    else:
        st.info("No work has been started yet. Loading a model, for one, is a job.", icon=":material/pending_actions:")
