"""A prompt as a turn of a conversation, where the tokenizer has a chat template; read off the text itself."""

from collections.abc import Callable

import streamlit as st

from workbench.core import WorkbenchError
from workbench_app import state

MARK = "CONTENT"


def around(model: str) -> tuple[str, str] | None:
    """What the template puts before and after a user's words; None where there is no template."""
    try:
        turn = state.shelf().get(model).tokenizer.chat([{"role": "user", "content": MARK}])
    except WorkbenchError:
        return None
    before, found, after = turn.partition(MARK)
    return (before, after) if found else None


def words_of(model: str, prompt: str) -> str | None:
    """The user's words in a prompt that is a chat turn; None when it is none."""
    parts = around(model)
    if parts is None or len(prompt) < sum(map(len, parts)):
        return None
    before, after = parts
    inside = prompt.startswith(before) and prompt.endswith(after)
    return prompt[len(before) : len(prompt) - len(after)] if inside else None


def switch(model: str, prompt: str) -> str:
    """The prompt as a chat turn, or its words alone if it is one."""
    words = words_of(model, prompt)
    parts = around(model)
    if words is not None or parts is None:
        return words if words is not None else prompt
    return f"{parts[0]}{prompt}{parts[1]}"


def toggle(model: str, prompt: str, run: Callable[[str], object]) -> None:
    """The switch; nothing without a template."""
    if around(model) is None:
        return

    def changed() -> None:
        run(switch(model, prompt))

    st.session_state["pr_chat"] = words_of(model, prompt) is not None
    st.toggle(
        "Chat template", key="pr_chat", on_change=changed, disabled=not prompt,
        help="Put the model's chat template around the prompt: one turn of a user, and the answer begins.",
    )  # fmt: skip
