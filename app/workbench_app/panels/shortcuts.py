"""The keys that the pages listen to, told when `?` is pressed."""

import streamlit as st

from workbench_app import components

EVERYWHERE = (("?", "this list"),)
KEYS = {
    "Tokens": (
        ("← → ↑ ↓", "move along the tokens"),
        ("Home, End", "the first, the last token"),
        ("Enter, Space", "select the token"),
        ("Esc", "select none"),
    ),
    "Prompt box": (("Ctrl+Enter", "run the prompt"),),
    "Heat maps and the attention grid": (("← → ↑ ↓", "move the selected cell"),),
    "Unit": (
        ("← →", "the previous, the next unit of the list"),
        ("r", "a unit at random"),
        ("l", "write its label"),
        ("s", "steer by it"),
    ),
    "Graph (click into it first)": (
        ("Ctrl+click, p", "pin or unpin"),
        ("Shift+drag", "choose several nodes"),
        ("g, u", "group what is chosen, ungroup"),
        ("s", "the subgraph of what is pinned"),
        ("f", "fit into the frame"),
        ("/", "find a node"),
        ("Ctrl+Z, Ctrl+Shift+Z", "undo, redo"),
        ("Esc", "choose nothing"),
    ),
}
ON = {
    "home": ("Tokens",),
    "prompt": ("Prompt box", "Tokens", "Heat maps and the attention grid"),
    "features": ("Unit", "Tokens"),
    "circuits": ("Graph (click into it first)",),
}
"""Which of them a page has; the others have those of tokens and heat maps."""


@st.fragment
def show_panel(page: str) -> None:
    """Listens to `?`, and a button for those who do not press keys; the page itself is not run again."""
    components.keys("shell_keys", {"?": ask})
    st.button("Keys", key="shell_shortcuts", icon=":material/keyboard:", type="tertiary", on_click=ask, help="Or: ?")
    if st.session_state.pop("shortcuts", False):
        dialog(page)


def ask() -> None:
    st.session_state["shortcuts"] = True


@st.dialog("Keys")
def dialog(page: str) -> None:
    """Those of the page that is open first, then the others."""
    own = ON.get(page, ("Tokens", "Heat maps and the attention grid"))
    st.markdown(as_table({"Everywhere": EVERYWHERE, **{name: KEYS[name] for name in own}}))
    with st.expander("On other pages"):
        st.markdown(as_table({name: keys for name, keys in KEYS.items() if name not in own}))


def as_table(parts: dict[str, tuple[tuple[str, str], ...]]) -> str:
    """Markdown: a heading and a table for each part."""
    return "\n\n".join(
        f"**{name}**\n\n| key | what it does |\n|---|---|\n" + "\n".join(f"| `{key}` | {what} |" for key, what in keys)
        for name, keys in parts.items()
    )
