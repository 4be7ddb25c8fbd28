"""What is expected after the selected position, under sampling dials, and one token followed."""

import numpy as np
import pandas as pd
import streamlit as st

from workbench_app import components, state
from workbench_app.analysis import largest, log_softmax, reshape
from workbench_app.components import Bar
from workbench_app.wording import share, show

from . import explain, token_pair

SHOWN = 20


def show_panel(model: str, ids: tuple[int, ...], at: int) -> None:
    """Top-20 bars on the left, dials and the target token on the right."""
    done = state.prompt_pass(model, ids)
    words = state.shelf().get(model).tokenizer.strings
    left, right = st.columns([3, 2], gap="large")
    with right:
        chances = dials(done.logits[at])
        target = followed(model, done.logits[at], chances)
    with left:
        best = [int(token) for token in largest(chances, SHOWN) if chances[token] > 0]
        logits = done.logits[at]
        rows = [
            Bar(
                label=words([token])[0],
                value=float(chances[token]),
                text=share(float(chances[token])),
                key=words([token])[0],
                token=True,
                marked=token == target,
                facts=(
                    ("token id", str(token)),
                    ("logit", show(float(logits[token]))),
                    ("probability", share(float(chances[token]))),
                ),
            )
            for token in best
        ]
        rest = 1 - sum(row.value for row in rows)
        possible = f"{len(rows)} most likely of {np.count_nonzero(chances):,} possible"
        title = f"After position {at} · {possible} · the others share {share(rest)}"
        components.bars("pr_bars", rows, title=title, on_pick=follow)
    with right:
        st.download_button(
            "Next tokens (CSV)", data=lambda: as_csv(model, logits, chances), file_name=f"next_tokens_{at}.csv",
            on_click="ignore", icon=":material/download:", key="pr_next_csv", type="tertiary",
        )  # fmt: skip
        explain.link(model, ids, at, token_pair.named(model, token_pair.likeliest(logits)))


def as_csv(model: str, logits: np.ndarray, chances: np.ndarray) -> str:
    """Every token of the vocabulary, the likeliest first, with its probability under the dials as `drawn`."""
    order, words = np.argsort(-logits, kind="stable"), state.shelf().get(model).tokenizer.strings
    columns = {
        "rank": np.arange(1, len(order) + 1),
        "token_id": order,
        "token": [words([token])[0] for token in order.tolist()],
        "logit": logits[order],
        "probability": np.exp(log_softmax(logits))[order],
        "drawn": chances[order],
    }
    return pd.DataFrame(columns).to_csv(index=False)


def dials(logits: np.ndarray) -> np.ndarray:
    """Sampling dials over cached logits; no new pass is made."""
    temperature = st.slider("Temperature", 0.1, 3.0, 1.0, 0.1, key="pr_temperature", bind="query-params")
    top_k = st.slider("Keep the k most likely (0: all)", 0, 100, 0, key="pr_k", bind="query-params")
    top_p = st.slider("Keep the likeliest up to a total of", 0.05, 1.0, 1.0, 0.05, key="pr_p", bind="query-params")
    changed = temperature != 1 or top_k > 0 or top_p < 1
    if changed:
        st.caption(":orange-badge[reshaped] what sampling would draw from; the model's own distribution is at 1, 0, 1.")
    return reshape(logits, temperature, top_k, top_p)


def follow(text: str) -> None:
    st.session_state["pr_target"] = text


def target_ids(model: str) -> list[int]:
    """Tokens of the followed text; empty when there is none."""
    text = st.session_state.get("pr_target") or ""
    return state.shelf().get(model).tokenizer.encode(text) if text else []


def followed(model: str, logits: np.ndarray, chances: np.ndarray) -> int | None:
    """The target box: rank, logit and probability of one token at this position."""
    st.text_input(
        "Follow a token",
        key="pr_target",
        bind="query-params",
        placeholder="click a bar, or type; a leading space counts",
    )
    found = target_ids(model)
    if not found:
        return None
    token = found[0]
    if len(found) > 1:
        pieces = " ".join(state.shelf().get(model).tokenizer.strings(found)[:6])
        st.caption(f"{len(found)} tokens ({pieces!r}); the first is followed.")
    logs = log_softmax(logits)
    for column, (name, value) in zip(
        st.columns(3),
        (
            ("rank", f"{int((logits > logits[token]).sum()) + 1:,}"),
            ("logit", show(float(logits[token]))),
            ("probability", share(float(np.exp(logs[token])))),
        ),
        strict=True,
    ):
        column.metric(name, value)
    if chances[token] == 0:
        st.caption("The dials leave this token out.")
    return token
