"""The frame around every page: title, sidebar, jobs, and errors as one sentence.

What it imports loads neither torch nor pandas: the first visitor reads before they are there.
"""

from __future__ import annotations

import hmac
import logging
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlencode

import streamlit as st

from workbench import core
from workbench.figures import legible
from workbench.workspace import Job

from . import comfort, state
from .focus import Focus, focus, set_focus, to_query
from .offers import default_model, known

logger = logging.getLogger(__name__)
LONGEST = 20_000  # letters of a text that a page shows


@contextmanager
def guard() -> Iterator[None]:
    """Turn whatever goes wrong inside into one sentence; the rest of the page stays."""
    try:
        yield
    except core.WorkbenchError as error:
        st.error(plain(str(error)), icon=":material/error:")
    except MemoryError:
        st.error("This did not fit into memory. Try a shorter prompt or a smaller model.", icon=":material/memory:")
    except Exception as error:
        logger.exception("a page failed")
        st.error(
            plain(f"This part of the page failed ({type(error).__name__}: {error}). The server's log has the details."),
            icon=":material/error:",
        )


def admitted() -> bool:
    """Whether the visitor may see the pages: always on this machine, else with the token of the server."""
    wanted = os.environ.get("WORKBENCH_APP_TOKEN", "")
    told = str(st.query_params.get("token", "")) or str(st.session_state.get("token", ""))
    if st.session_state.get("admitted") or not wanted or hmac.compare_digest(told.encode(), wanted.encode()):
        st.session_state["admitted"] = True
        return True
    st.title("workbench", anchor=False)
    st.text_input("Token", type="password", key="token", help="It was printed where the app was started.")
    if told:
        st.error("This is not the token of this server.", icon=":material/key_off:")
    return False


def plain(text: str) -> str:
    """Text that Markdown leaves as it is, on one line; what would hide or reorder text is spelled out."""
    return "".join(
        f"\\{mark}" if mark in "\\`*_{}[]()<>#+-!|~$:" else mark for mark in legible(text.replace("\n", "↵"), LONGEST)
    )


def code(text: str) -> str:
    """Text as a code span of Markdown, whatever backticks it holds; what would hide or reorder text is spelled out."""
    shown = legible(text.replace("\n", "↵"), LONGEST)
    fence = "`" * (max((len(run) for run in re.findall("`+", shown)), default=0) + 1)
    room = " " if shown.startswith("`") or shown.endswith("`") else ""
    return f"{fence}{room}{shown}{room}{fence}"


def title(text: str, purpose: str) -> None:
    """The first thing on a page, drawn before anything heavy is imported; room for `actions` beside it."""
    with st.container(key="page_header"):
        left, right = st.columns([5, 4], vertical_alignment="bottom")
    with left:
        st.title(text, anchor=False)
        st.caption(purpose)
    st.session_state["_actions"] = right


def actions(
    python: str,
    *,
    title: str = "",
    result: core.Result | Callable[[], core.Result | None] | None = None,
    graph: str = "",
) -> None:
    """Copy link, Copy as Python, Add to report; and what was wrong with the address.

    Args:
        python: the lines that make in a notebook what the page shows, ids and seeds pinned.
        title, result, graph: what `Add to report` adds: a Result (or what gives one when the button is pressed), or
            the name of a graph; without either the button adds the address and the Python only.
    """
    with st.session_state["_actions"], st.container(horizontal=True, horizontal_alignment="right"):
        with st.popover("Copy link", icon=":material/link:"):
            st.code(link(), language=None, wrap_lines=True)
        with st.popover("Copy as Python", icon=":material/code:"):
            st.code(python, language="python")
        if title:
            st.button(
                "Add to report", icon=":material/post_add:", key="add_to_report", on_click=_add,
                args=(title, python, result, graph),
            )  # fmt: skip
    for problem in st.session_state.get("address_problems", ()):
        st.warning(plain(problem), icon=":material/link_off:")


def _add(title: str, python: str, result: core.Result | Callable[[], core.Result | None] | None, graph: str) -> None:
    from . import draft

    with guard():
        made = result() if callable(result) else result
        draft.add(title, address=link(), python=python, result=made, graph=graph)
        st.toast(f"Added to the report draft: {plain(title)}", icon=":material/post_add:")


def missing(title: str, why: str, *commands: str, looked_in: object = "") -> None:
    """The card of a page or panel that has nothing to show: what is missing and the commands that make it."""
    with st.container(border=True):
        st.markdown(f"**{plain(title)}**")
        st.markdown(plain(why))
        for command in commands:
            st.code(command, language="bash", wrap_lines=True)
        if looked_in:
            st.caption(plain(f"Looked in {looked_in}."))


def link(page: str = "", shown: Focus | None = None) -> str:
    """The address of what is on the page, or of something else on another page."""
    base = (st.context.url or "").split("?")[0]
    if page:
        base = f"{base.rpartition('/')[0]}/{page}"
    query = urlencode(to_query(shown or focus(), page or st.session_state.get("page", "home")))
    return f"{base}?{query}" if query else base


def tighten() -> None:
    """Less empty space around the page than Streamlit leaves; on narrow screens columns stand below each other."""
    outer = "[data-testid=stColumn]:not([data-testid=stColumn] *)"
    header = "[data-testid=stMainBlockContainer] .st-key-page_header"
    st.html(
        "<style>[data-testid=stMainBlockContainer]{padding:2.6rem 2.4rem 3rem}"
        f"@media(max-width:1100px){{[data-testid=stHorizontalBlock]:has(>{outer}){{flex-wrap:wrap}}"
        f"[data-testid=stMainBlockContainer] {outer}{{min-width:min(100%,16rem)}}}}"
        f"@media(max-width:1200px){{{header} [data-testid=stHorizontalBlock]{{flex-wrap:wrap;row-gap:.6rem}}"
        f"{header} [data-testid=stColumn]{{min-width:100%}}"
        f"{header} [data-testid=stColumn] *{{justify-content:flex-start}}}}{comfort.style()}</style>"
    )


def sidebar() -> None:
    """The model in focus, what the workspace holds, and the work that runs."""
    with st.sidebar:
        _model_picker()
        _tray()


def _model_picker() -> None:
    names = [model.name for model in known()]
    chosen = focus().model or default_model()
    if chosen not in names:
        names.insert(0, chosen)
    key = "sidebar_model"
    st.session_state[key] = chosen

    def choose() -> None:
        set_focus(model=st.session_state[key], layer=None, head=None, position=None)

    st.selectbox("Model", names, key=key, on_change=choose)
    job = state.loading(chosen)
    if chosen in state.shelf().names():
        shape = state.shelf().get(chosen).shape
        st.caption(f":green-badge[loaded] {shape.n_layers} layers · {shape.n_heads} heads · width {shape.d_model}")
    elif job is not None and job.active:
        st.caption(":blue-badge[loading]")
    else:
        st.button("Load", icon=":material/download:", width="stretch", on_click=state.start_loading, args=(chosen,))


def _tray() -> None:
    running = [job for job in state.jobs().jobs() if job.active]

    @st.fragment(run_every=0.5 if running else None)
    def poll() -> None:
        active = [job for job in state.jobs().jobs() if job.active]
        for job in active:
            show_job(job, key="tray")
        if len(active) < len(running):
            st.rerun()

    poll()


def show_job(job: Job, key: str) -> None:
    """Progress of one job and its Cancel button."""
    parts = [job.name, "waits for its turn" if job.state == "queued" else job.phase_name, f"{job.seconds:.0f} s"]
    if job.seconds_left is not None:
        parts.append(f"about {job.seconds_left:.0f} s left")
    st.progress(job.fraction or 0.0, text=plain(" · ".join(part for part in parts if part)))
    st.button("Cancel", key=f"{key}_{job.id}", on_click=job.cancel, icon=":material/close:")


def need_model() -> str | None:
    """The name of the model in focus once it is loaded; until then what to do about it, and None."""
    name = focus().model or default_model()
    if name in state.shelf().names():
        return name
    job = state.loading(name)
    if job is not None and job.active:
        st.info(plain(f"{name} is being loaded; the page appears when it is there."), icon=":material/hourglass_top:")
    else:
        if job is not None and job.error:
            st.error(plain(job.error), icon=":material/error:")
        with st.container(border=True):
            st.markdown(f"**No model is loaded.** This page runs {plain(name)} on this machine.")
            st.button(
                f"Load {name}", type="primary", icon=":material/play_arrow:", on_click=state.start_loading, args=(name,)
            )
            st.caption("Another one can be chosen in the sidebar.")
    return None
