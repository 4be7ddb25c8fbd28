"""Examples that can be read before a model is loaded: how expected each token was, what comes next, since when."""

import numpy as np
import streamlit as st

from workbench_app import components, frame, state
from workbench_app.analysis import MEASURES
from workbench_app.components import Bar
from workbench_app.focus import change_focus
from workbench_app.precomputed import Example, examples
from workbench_app.wording import share, show


def show_panel() -> None:
    """The examples side by side; a click on a token shows what was expected after it."""
    st.subheader("Three predictions to read now", anchor=False)
    st.caption("Measured once on built-in models and shipped; nothing runs until a model is loaded. "
               "Colour: surprise. A click on a token shows what was expected after it.")  # fmt: skip
    for number, (column, example) in enumerate(zip(st.columns(3), examples(), strict=True)):
        with column, st.container(border=True, height="stretch"):
            one(number, example)
            key = f"ho_open_{number}"
            if st.button("Load it and look inside", key=key, icon=":material/arrow_forward:", type="tertiary"):
                change_focus(model=example.model, prompt=example.prompt, position=None, layer=None, head=None)
                state.start_loading(example.model)
                st.switch_page("views/prompt.py")


@st.fragment
def one(number: int, example: Example) -> None:
    """One example: its tokens, the next ones at the chosen place, and the layer that settled the answer."""
    components.begin(f"precomputed {number}")
    with frame.guard():
        key = f"ho_at_{number}"
        picked = st.session_state.get(key)
        at = len(example.ids) - 1 if picked is None else picked
        st.caption(f"{frame.plain(example.model)} · :gray-badge[precomputed]")
        values = np.array([np.nan if value is None else value for value in example.surprise])
        facts = [[("surprise, nats", show(value))] for value in values]
        components.tokens(
            f"ho_tokens_{number}", f"{example.weight_hash[:8]}-{number}", example.tokens, example.ids, example.special,
            values, MEASURES["surprise"], facts, example.tops, at,
            lambda position: st.session_state.update({key: position}),
        )  # fmt: skip
        rows = [Bar(text, chance, share(chance), token=True) for text, chance in example.tops[at]]
        components.bars(f"ho_bars_{number}", rows, title=f"Expected after position {at}")
        if at == len(example.ids) - 1:
            st.caption(frame.plain(told(example)))


def told(example: Example) -> str:
    """Since when the last layer's answer is read out."""
    answer, chance = example.lens[-1][1:]
    layers = example.lens[-1][0] + 1
    place = "already in the embedding" if example.settled < 0 else f"after block {example.settled + 1} of {layers}"
    return f"The logit lens reads {answer.strip()!r} (in the end {share(chance)}) first {place}, and then to the end."
