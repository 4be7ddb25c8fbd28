"""Prompt: its tokens, what is expected next, the logit lens, the attention patterns."""

import streamlit as st

from workbench.core import Result, WorkbenchError
from workbench_app import components, frame, state
from workbench_app.analysis import check_length
from workbench_app.focus import change_focus, focus
from workbench_app.offers import default_model, examples
from workbench_app.panels import (
    active_units,
    attention,
    chat,
    lens,
    patching,
    prediction,
    residual,
    sample,
    strip,
    versus,
)

PANELS = {
    "Next token": prediction,
    "Logit lens": lens,
    "Attention": attention,
    "Residual": residual,
    "Features": active_units,
}
PATCH = "Patch"


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
    if focus().other:
        second = focus().other_model
        lines += [f"other_model = load_model({second!r})"] if second and second != model else ["other_model = model"]
        lines.append(f"other = other_model.run(other_model.tokens({focus().other!r}{bos}))")
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
        if focus().other is not None:
            second_box(model)
        with st.container(horizontal=True, vertical_alignment="center"):
            st.session_state["pr_bos_switch"] = bos_in_force(model)
            st.toggle("BOS in front", key="pr_bos_switch", on_change=switch_bos, help="The token that opens a text.")
            st.session_state["pr_compare"] = focus().other is not None
            st.toggle("Compare", key="pr_compare", on_change=switch_compare, help="Lay a second prompt, or the same "
                      "prompt on a second model, beside this one; everything below becomes a difference.")  # fmt: skip
            chat.toggle(model, focus().prompt, run)
            sample.button(model, run)
            for number, text in enumerate(examples(model)):
                label = text if len(text) < 46 else text[:44] + "…"
                st.button(frame.plain(label), key=f"pr_example_{number}", type="tertiary", on_click=run, args=(text,))
    if st.session_state.pop("pr_changed", False):
        st.rerun()


def second_box(model: str) -> None:
    """Prompt B, and the model that reads it (any that is loaded)."""
    other = other_model(model)
    left, right = st.columns([5, 2], vertical_alignment="bottom")
    with left:
        st.caption("Compared with")
        components.editor("pr_editor_b", focus().other or "", lambda draft: describe(other, draft), run_other)
    loaded = list(state.shelf().names())
    st.session_state["pr_model_b"] = other
    right.selectbox("On the model", loaded, key="pr_model_b", on_change=choose_other, help="Any that is in memory.")


def other_model(model: str) -> str:
    """The model of side B: the one of the address if it is loaded, else that of side A."""
    wanted = focus().other_model
    return wanted if wanted in state.shelf().names() else model


def run(text: str) -> None:
    state.ask(text)
    st.session_state["pr_changed"] = True


def run_other(text: str) -> None:
    state.ask(text, "other")
    st.session_state["pr_changed"] = True


def choose_other() -> None:
    chosen = st.session_state["pr_model_b"]
    change_focus(other_model=chosen, other=focus().other or focus().prompt)
    st.session_state["pr_changed"] = True


def switch_compare() -> None:
    change_focus(other="" if st.session_state["pr_compare"] else None, other_model=None)
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
        if focus().other:
            versus.show_panel(sides(model, ids), at)
            return
        strip.show_panel(model, ids, at)
        tabs = st.tabs([*PANELS, PATCH], key="pr_tab", on_change="rerun", bind="query-params")
        for tab, panel in zip(tabs, PANELS.values(), strict=False):
            if tab.open:
                with tab, frame.guard():
                    panel.show_panel(model, ids, at)
    if patch_is_open() != st.session_state["pr_patch_open"]:
        st.rerun()


def patch_is_open() -> bool:
    return st.session_state.get("pr_tab") == PATCH and not focus().other


def patch_tab(model: str) -> None:
    """The open tab's body, below the fragment: it starts a job."""
    with frame.guard():
        ids = state.shelf().encode(model, focus().prompt, bos_in_force(model))
        patching.show_panel(model, ids, bos_in_force(model))


def sides(model: str, ids: tuple[int, ...]) -> versus.Sides:
    """Both sides of a comparison."""
    other = other_model(model)
    if focus().other_model and focus().other_model != other:
        st.warning(
            frame.plain(f"{focus().other_model} is not in memory, so B runs on {model}; the sidebar loads it."),
            icon=":material/link_off:",
        )
    bos = bos_in_force(model) if other == model else focus().bos
    there = state.shelf().encode(other, focus().other or "", bos)
    return versus.Sides(model, ids, other, there)


def current() -> Result | None:
    """What `Add to report` takes: the comparison, what the patching or the residual tab shows, or the logit lens."""
    model = focus().model or default_model()
    if not focus().prompt or model not in state.shelf().names():
        return None
    ids = state.shelf().encode(model, focus().prompt, bos_in_force(model))
    at = len(ids) - 1 if focus().position is None else min(focus().position or 0, len(ids) - 1)
    if focus().other:
        return versus.as_result(sides(model, ids), at)
    if st.session_state.get("pr_tab") == PATCH:
        return patching.current()
    if st.session_state.get("pr_tab") == "Residual":
        return residual.current(model, ids, at)
    return state.lens(model, ids, None)


chosen = focus().model or default_model()
if focus().other and focus().prompt:
    about = f"{focus().prompt[:50]} | {(focus().other or '')[:50]}"
else:
    shown = {PATCH: "Patching of", "Residual": "What writes the answer of"}.get(st.session_state.get("pr_tab", ""))
    about = f"{shown or 'Logit lens of'}: {focus().prompt[:60]}" if focus().prompt else ""
frame.actions(as_python(chosen), title=about, result=current)
with frame.guard():
    model = frame.need_model()
    if model:
        box(model)
        if focus().prompt:
            st.session_state["pr_patch_open"] = patch_is_open()
            explore(model)
            if patch_is_open():
                patch_tab(model)
        else:
            st.info("Type a prompt and press Ctrl+Enter, or take one of the examples.", icon=":material/keyboard:")
