"""What the residual stream carries at a position, and which blocks and heads write the prediction."""

import numpy as np
import streamlit as st

from workbench.core import Result
from workbench_app import components, exhibit, frame, state
from workbench_app.components import Bar
from workbench_app.focus import set_focus
from workbench_app.wording import show

from . import explain, token_pair

SHOWN = 20
MAPS = {"norm": "norm of the stream", "cosine": "cosine to the last layer's stream"}


def show_panel(model: str, ids: tuple[int, ...], at: int) -> None:
    """A token pair; by layer, by component, and the stream at every position."""
    best = token_pair.likeliest(state.prompt_pass(model, ids).logits[at])
    pair = token_pair.choose(model, best)
    result = state.effects(model, ids, at, *pair)
    target, foil = (frame.plain(repr(result.params[name])) for name in ("target", "foil"))
    st.markdown(f"After position {at}, {target} has **{show(result.scalars['difference'])}** logits more than {foil}.")
    left, right = st.columns([3, 2], gap="large")
    with left:
        exhibit.figure(result, "pr_effects", alt="What attention and MLP of each layer add to the logit difference")
        exhibit.download(result, "pr_effects_layers", "layers")
    with right:
        writers(result)
        exhibit.download(result, "pr_effects_parts", "components")
    stream(result, model, ids, at)
    exhibit.notes(result)
    explain.link(model, ids, at, pair)


def current(model: str, ids: tuple[int, ...], at: int) -> Result:
    """The same without drawing anything."""
    best = token_pair.likeliest(state.prompt_pass(model, ids).logits[at])
    return state.effects(model, ids, at, *token_pair.named(model, best))


def writers(result: Result) -> None:
    """The components that write most, either way; a click opens the head or the layer."""
    rows = sorted(result.tables["components"], key=lambda row: -abs(row["effect"]))
    bars = [
        Bar(
            name(row), row["effect"], show(row["effect"]), key=str(row["node"]),
            facts=(("norm of what it writes", show(row["norm"])),) if row["norm"] is not None else (),
        )
        for row in rows[:SHOWN]
    ]  # fmt: skip
    rest = sum(row["effect"] for row in rows[SHOWN:])
    title = f"{len(bars)} of {len(rows)} writers; the others add up to {show(rest)}"
    places = {str(row["node"]): (row["layer"], row["head"]) for row in rows}
    components.bars("pr_writers", bars, title=title, signed=True, on_pick=lambda node: open_writer(*places[node]))


def name(row: dict) -> str:
    """A component as people call it."""
    if row["layer"] is None or row["layer"] < 0:
        return "embedding" if row["node"] == "input" else "biases"
    return f"layer {row['layer']} MLP" if row["head"] is None else f"layer {row['layer']} head {row['head']}"


def open_writer(layer: int | None, head: int | None) -> None:
    """A head opens in the attention tab, an MLP in the lens at its layer."""
    if layer is None or layer < 0:
        return
    set_focus(layer=layer, **({} if head is None else {"head": head}))
    st.session_state["pr_tab"] = "Logit lens" if head is None else "Attention"


def stream(result: Result, model: str, ids: tuple[int, ...], at: int) -> None:
    """Layers by positions: how long the stream is, or how near it is to its end."""
    kind = st.segmented_control(
        "Of the stream", list(MAPS), default="norm", required=True, format_func=lambda k: MAPS[k], key="pr_stream"
    )
    values = result.arrays[kind][::-1]
    shown, title = (np.log10(np.maximum(values, 1e-6)), "log10 of the norm") if kind == "norm" else (values, MAPS[kind])
    rows = [str(layer) for layer in range(len(values) - 2, -1, -1)] + ["emb"]

    def pick(place: list[int] | None) -> None:
        if place:
            set_focus(layer=max(0, len(values) - 2 - place[0]), position=place[1])

    words = state.shelf().get(model).tokenizer.strings(list(ids))
    components.heat(
        "pr_stream_map", f"{result.id}-{kind}", shown, rows, words, title,
        low=min(0.0, float(shown.min())), high=max(1e-6, float(shown.max())), column=at, on_pick=pick,
    )  # fmt: skip
