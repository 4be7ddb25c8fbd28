"""Long work of a page: started by a button, watched while it runs, its value (or what it had so far) handed back."""

from collections.abc import Callable
from typing import Any

import streamlit as st

from workbench.core import Progress

from . import state
from .frame import code, plain, show_job


def run(
    key: str,
    label: str,
    work: Callable[[Progress], Any],
    *,
    name: str,
    command: str = "",
    about: str = "",
    uses_model: bool = True,
    preview: Callable[[Any], object] | None = None,
) -> Any:
    """A button that starts `work(progress)` as a job; returns its value once there is one, else None.

    Call it in the body of a page or tab, not in a fragment: it brings its own while the job runs. A cancelled job
    gives what it had if its work returned a partial value, else the last `progress.partial(value)`.

    Args:
        key: says which request this is; put everything into it that changes the result.
        label: on the button. about: one sentence beside it, with an estimate where there is one.
        name: of the job, for people. command: the command line that does the same.
        preview: draws the last partial value while the job runs.
    """
    job = state.job_of(key)
    if job is None or (not job.active and value_of(job) is None):
        if job is not None and job.error:
            st.error(plain(job.error), icon=":material/error:")
        elif job is not None:
            st.info("Cancelled before anything was done.", icon=":material/cancel:")
        with st.container(horizontal=True, vertical_alignment="center"):
            st.button(
                label if job is None else f"{label} again", key=f"run_{key}", type="primary",
                icon=":material/play_arrow:", on_click=state.start_job, args=(key, name, work, command, uses_model),
            )  # fmt: skip
            if about:
                st.caption(about)
        return None
    if job.active:
        _watch(job, key, preview)
        return None
    return value_of(job)


def value_of(job: Any) -> Any:
    """What an ended job made, or what it had when it was cancelled."""
    if job.active or job.error:
        return None
    try:
        return job.result(timeout=0)
    except Exception:
        return job.partial_value


def _watch(job: Any, key: str, preview: Callable[[Any], object] | None) -> None:
    @st.fragment(run_every=0.4)
    def live() -> None:
        if not job.active:
            st.rerun()
        show_job(job, key=f"watch_{key}")
        if job.command:
            st.caption(f"The same on the command line: {code(job.command)}")
        if preview is not None and job.partial_value is not None:
            preview(job.partial_value)

    live()
