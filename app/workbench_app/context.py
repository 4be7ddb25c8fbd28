"""The context bar under a page's title: what is looked at as chips, each of which opens what changes it."""

import streamlit as st

from workbench import recipes
from workbench.core import nearest
from workbench.figures import clip
from workbench.workspace import Entry

from . import state
from .focus import PAGES, change_focus, focus, set_focus
from .frame import guard, plain
from .offers import default_model, examples, known

WITHOUT = ("home", "prompt", "runs", "reports")
"""Pages without a bar: what they look at stands on the page itself."""


def bar(page: str) -> None:
    """The chips that matter on a page; one whose id is unknown here turns amber and offers what is near."""
    fields = PAGES.get(page, ())
    chips = {"model": _model, "dictionary": _dictionary, "prompt": _prompt, "position": _position}
    shown = [] if page in WITHOUT else [draw for field, draw in chips.items() if field in fields]
    if page == "circuits" and focus().graph:  # a graph names its own dictionaries
        shown = []
    if shown:
        with st.container(horizontal=True, gap="small", key="context_bar"), guard():
            for draw in shown:
                draw()


def dictionary_entry() -> Entry | None:
    """The dictionaries in focus, else the newest of the model in focus, else None.

    What is named but not there gives None, too: the chip says so.
    """
    entries = state.workspace().list("dictionaries")
    if wanted := focus().dictionary:
        return next((entry for entry in entries if _names(entry, wanted)), None)
    model = focus().model or default_model()
    fitting = (e for e in entries if e.manifest and e.manifest.model and e.manifest.model.id == model)
    return next(fitting, None)


def _names(entry: Entry, wanted: str) -> bool:
    return entry.name == wanted or (
        entry.manifest is not None and len(wanted) >= 8 and entry.manifest.content_hash.startswith(wanted)
    )


def _chip(name: str, value: str, trouble: str = ""):
    """A chip that opens; amber with a warning sign when something is wrong with it."""
    short = value if len(value) < 34 else f"{value[:32]}…"
    label = f"{name} · **{plain(short)}**"
    opened = st.popover(
        f":orange[{label}]" if trouble else label,
        icon=":material/warning:" if trouble else None,
        key=f"chip_{name}",
    )
    if trouble:
        opened.warning(plain(trouble), icon=":material/link_off:")
    return opened


def _model() -> None:
    names, chosen = [offer.name for offer in known()], focus().model or default_model()
    loaded = chosen in state.shelf().names()
    foreign = chosen not in names and not loaded and "/" not in chosen
    trouble = f"{chosen} is no known model – {nearest(chosen, names)}" if foreign else ""
    with _chip("model", chosen, trouble):
        st.caption("In memory." if loaded else "Not loaded yet; the sidebar loads it.")
        for name in names[:8]:
            st.button(
                plain(name), key=f"chip_model_{name}", disabled=name == chosen, on_click=set_focus, width="stretch",
                kwargs={"model": name, "dictionary": None, "unit": None, "position": None, "layer": None, "head": None},
            )  # fmt: skip


def _dictionary() -> None:
    entries, found, wanted = state.workspace().list("dictionaries"), dictionary_entry(), focus().dictionary
    names = [entry.name for entry in entries]
    trouble = ""
    if wanted and found is None and wanted != recipes.NEURONS:
        trouble = f"{wanted} is not in this workspace – {nearest(wanted, names, 'there are') or 'it has none'}"
    elif found is not None and found.problem:
        trouble = found.problem
    with _chip("dictionary", wanted or (found.name if found else "none"), trouble):
        if not names:
            st.caption("This workspace has no dictionary yet.")
            st.code("workbench train --help", language="bash")
        if "unit" in PAGES.get(st.session_state.get("page", ""), ()):
            st.button(
                f"{recipes.NEURONS} (the model's own)", key="chip_dictionary_own", width="stretch",
                disabled=wanted == recipes.NEURONS, on_click=set_focus,
                kwargs={"dictionary": recipes.NEURONS, "unit": None},
            )  # fmt: skip
        for entry in entries[:12]:
            made_for = entry.manifest.model.id if entry.manifest and entry.manifest.model else "unknown model"
            st.button(
                plain(f"{entry.name} ({made_for})"), key=f"chip_dictionary_{entry.name}", width="stretch",
                disabled=found is not None and entry.name == found.name, on_click=set_focus,
                kwargs={"dictionary": entry.name, "unit": None},
            )  # fmt: skip


def _prompt() -> None:
    def use() -> None:
        change_focus(prompt=st.session_state["chip_prompt_text"], position=None)
        state.ask(st.session_state["chip_prompt_text"])

    missing = st.session_state.get("missing_prompt", "")
    with _chip("prompt", focus().prompt.replace("\n", "↵") or "none", missing):
        st.session_state["chip_prompt_text"] = focus().prompt
        st.text_area("Prompt", key="chip_prompt_text", on_change=use, height=120)
        for number, text in enumerate(examples(focus().model or default_model())):
            st.button(
                plain(text), key=f"chip_prompt_{number}", type="tertiary", on_click=change_focus,
                kwargs={"prompt": text, "position": None},
            )  # fmt: skip


def _position() -> None:
    name = focus().model or default_model()
    at = focus().position
    if not focus().prompt or name not in state.shelf().names():
        return
    ids = state.shelf().encode(name, focus().prompt, focus().bos)
    words = state.shelf().get(name).tokenizer.strings(list(ids))
    trouble = (
        f"this prompt has {len(ids)} tokens, there is no position {at}" if at is not None and at >= len(ids) else ""
    )
    shown = len(ids) - 1 if at is None else min(at, len(ids) - 1)

    def choose() -> None:
        set_focus(position=st.session_state["chip_position_choice"])

    with _chip(
        "position", f"{shown} {words[shown].strip() or repr(words[shown])}" if not trouble else str(at), trouble
    ):
        st.session_state["chip_position_choice"] = shown
        st.selectbox(
            "Position", range(len(ids)), key="chip_position_choice", on_change=choose,
            format_func=lambda place: f"{place}  {clip(words[place], 60)!r}",
        )  # fmt: skip
