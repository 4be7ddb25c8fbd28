"""Prompt: its tokens, what is expected next, the logit lens, the attention patterns."""

import streamlit as st

from workbench.core import Result, WorkbenchError
from workbench_app import components, frame, state
from workbench_app.analysis import check_length
from workbench_app.focus import change_focus, focus
from workbench_app.offers import default_model, examples
from workbench_app.panels import active_units, attention, lens, prediction, strip


def as_python(model: str) -> str:
    bos = "" if focus().bos is None else f", prepend_bos={focus().bos}"
    lines = [
        "from workbench import load_model",
        "",
        f"model = load_model({model!r})",
        f"tokens = model.tokens({focus().prompt!r}{bos})",
        "run = model.run(tokens)",
    ]
    if focus().position is not None:
        lines.append(f"run.logits[0, {focus().position}].softmax(-1).topk(20)")
    return "\n".join(lines)


def bos_in_force(model: str) -> bool:
    return state.shelf().get(model).policy.prepend_bos if focus().bos is None else bool(focus().bos)


def describe(model: str, draft: str) -> tuple[list[str], list[bool], str, bool]:
    """Tokens of a draft without a pass."""
    if not draft:
        return [], [], "no tokens", False
    held = state.shelf().get(model)
    try:
        ids = list(state.shelf().encode(model, draft, bos_in_force(model)))
        special = set(held.tokenizer.special_ids)
        texts, marks = held.tokenizer.strings(ids), [token in special for token in ids]
        check_length(len(ids), held.shape.n_ctx)
    except WorkbenchError as error:
        return [], [], str(error), True
    return texts, marks, f"{len(ids)} tokens", False


@st.fragment
def box(model: str) -> None:
    components.begin("prompt box")
    with frame.guard():
        components.editor("pr_editor", focus().prompt, lambda draft: describe(model, draft), run)
        with st.container(horizontal=True, vertical_alignment="center"):
            st.session_state["pr_bos_switch"] = bos_in_force(model)
            st.toggle("BOS in front", key="pr_bos_switch", on_change=switch_bos)
            for number, text in enumerate(examples(model)):
                label = text if len(text) < 46 else text[:44] + "…"
                st.button(frame.plain(label), key=f"pr_example_{number}", type="tertiary", on_click=run, args=(text,))
    if st.session_state.pop("pr_changed", False):
        st.rerun()


def run(text: str) -> None:
    state.ask(text)
    st.session_state["pr_changed"] = True


def switch_bos() -> None:
    change_focus(bos=st.session_state["pr_bos_switch"], position=None)
    st.session_state["pr_changed"] = True


@st.fragment
def explore(model: str) -> None:
    components.begin("prompt panels")
    with frame.guard():
        ids = state.shelf().encode(model, focus().prompt, bos_in_force(model))
        position = focus().position
        at = len(ids) - 1 if position is None else min(position, len(ids) - 1)
        strip.show_panel(model, ids, at)
        names = ["Next token", "Logit lens", "Attention", "Features"]
        tabs = st.tabs(names, key="pr_tab", on_change="rerun", bind="query-params")
        for tab, panel in zip(tabs, (prediction, lens, attention, active_units), strict=True):
            if tab.open:
                with tab, frame.guard():
                    panel.show_panel(model, ids, at)


def current_lens() -> Result | None:
    """What `Add to report` takes: the logit lens of the prompt."""
    model = focus().model or default_model()
    if not focus().prompt or model not in state.shelf().names():
        return None
    return state.lens(model, state.shelf().encode(model, focus().prompt, bos_in_force(model)), None)


chosen = focus().model or default_model()
about = f"Logit lens of: {focus().prompt[:60]}" if focus().prompt else ""
frame.actions(as_python(chosen), title=about, result=current_lens)
with frame.guard():
    model = frame.need_model()
    if model:
        box(model)
        if focus().prompt:
            explore(model)
        else:
            st.info("Type a prompt and press Ctrl+Enter, or take one of the examples.", icon=":material/keyboard:")
