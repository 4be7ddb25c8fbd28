"""Activation patching: what of the clean prompt, put into a corrupted run, brings its answer back."""

import hashlib
import shlex
from typing import Any

import numpy as np
import streamlit as st

from workbench.core import ConfigError, Result
from workbench.recipes import PatchPromptsConfig, check_twins, patch_prompts, patching_name, save_patching
from workbench_app import benches, components, exhibit, frame, state, work
from workbench_app.analysis import check_length
from workbench_app.focus import change_focus, focus
from workbench_app.wording import show

from . import token_pair

SITES = {
    "resid_pre": "residual stream",
    "attn_out": "attention output",
    "mlp_out": "MLP output",
    "heads": "heads and MLPs",
}
DIRECTIONS = {"denoising": "restore in the corrupted run", "noising": "spoil the clean run"}
LONGEST = 128


def show_panel(model: str, ids: tuple[int, ...], bos: bool) -> None:
    """The corrupted prompt, a token pair, what is patched; the map once it was measured."""
    text = st.text_input(
        "Corrupted prompt", key="pr_corrupted", bind="query-params", max_chars=2000,
        placeholder="the same prompt with the words changed that decide the answer; as many tokens",
    )  # fmt: skip
    if not text:
        st.caption("Both prompts run; activations of one are put into the other, and what that does to the last "
                   "position's logit difference is measured.")  # fmt: skip
        return
    other = state.shelf().encode(model, text, bos)
    check(ids, other, state.shelf().get(model).shape.n_ctx)
    here, there = (state.prompt_pass(model, side).logits[-1] for side in (ids, other))
    target, foil = token_pair.choose(model, token_pair.likeliest(here, there))
    st.caption(f"Logit difference: clean {show(float(here[target] - here[foil]))}, "
               f"corrupted {show(float(there[target] - there[foil]))}.")  # fmt: skip
    left, right = st.columns(2)
    site = left.selectbox(
        "Patch", list(SITES), format_func=lambda s: SITES[s], key="pr_patch_site", bind="query-params"
    )
    direction = right.selectbox(
        "How", list(DIRECTIONS), format_func=lambda d: DIRECTIONS[d], key="pr_patch_how", bind="query-params"
    )
    config = PatchPromptsConfig.model_validate({"site": site, "direction": direction})
    turns: Any = benches.Turns(state.shelf().get(model), state.shelf().lock)
    place = state.workspace()
    key = request(model, ids, other, (target, foil), config)
    st.session_state["pr_patch_request"] = key
    result = work.run(
        key, "Patch",
        lambda progress: save_patching(place, patch_prompts(turns, ids, other, (target, foil), config, progress)),
        name=f"patching the {SITES[site]}", command=command(model, text, bos, (target, foil), config),
        about=f"{runs(turns.shape, len(ids), site):,} patched runs of {len(ids)} tokens.",
    )  # fmt: skip
    if result is not None:
        found(result, model, ids, other)


def request(
    model: str, ids: tuple[int, ...], other: tuple[int, ...], pair: tuple[int, int], config: PatchPromptsConfig
) -> str:
    """The name of a patching among the jobs."""
    told = f"{model} {ids} {other} {pair} {config}"
    return f"patch {hashlib.sha256(told.encode()).hexdigest()[:16]}"


def command(model: str, corrupted: str, bos: bool, pair: tuple[int, int], config: PatchPromptsConfig) -> str:
    """The command line that does the same."""
    target, foil = state.shelf().get(model).tokenizer.strings(pair)
    words = ["workbench", "circuit", "patch-prompts", focus().prompt, corrupted, "--model", model, "--target", target]
    words += ["--foil", foil, "--site", config.site, "--direction", config.direction, "--bos" if bos else "--no-bos"]
    return shlex.join(words)


def current() -> Result | None:
    """What `Add to report` takes: the patching that the tab shows, once it was measured."""
    job = state.job_of(st.session_state.get("pr_patch_request", ""))
    value = None if job is None else work.value_of(job)
    if value is None:
        raise ConfigError("nothing was patched yet", hint="press Patch first")
    return value


def check(ids: tuple[int, ...], other: tuple[int, ...], n_ctx: int) -> None:
    """Refuse prompts that cannot be laid on each other.

    Raises:
        TextError: too long, of two lengths, or the same.
    """
    check_length(len(ids), n_ctx, LONGEST, "patching")
    check_twins(ids, other)


def runs(shape: Any, length: int, site: str) -> int:
    return shape.n_layers * (shape.n_heads + 1) + 1 if site == "heads" else shape.n_layers * length


@st.fragment
def found(result: Result, model: str, ids: tuple[int, ...], other: tuple[int, ...]) -> None:
    """The map, and its table."""
    components.begin("prompt patching")
    with frame.guard():
        by_node = "nodes" in result.tables
        values, columns = heads(result) if by_node else positions(result, model, ids, other)
        shown, high = values[::-1], max(1.0, float(np.nanmax(np.abs(values), initial=0)))
        components.heat(
            "pr_patch_map", result.id, shown, [str(layer) for layer in range(len(values) - 1, -1, -1)], columns,
            "share of the logit difference's gap", low=-high, high=high,
            on_pick=lambda place: pick(place, values.shape, by_node),
        )  # fmt: skip
        exhibit.download(result, "pr_patch_rows", "nodes" if by_node else "positions")
        st.caption(frame.plain(f"Saved in the workspace as results/{patching_name(result)}."))
        if not by_node:
            st.caption("Click a cell to go on at its position; the lens and attention tabs open at its layer.")
        exhibit.notes(result)
    if st.session_state.pop("pr_picked_patch", False):
        st.rerun()


def pick(place: list[int] | None, shape: tuple[int, ...], by_node: bool) -> None:
    """A cell's layer, and its position or head, become what other tabs show (the last column of heads: MLP)."""
    if place:
        row, column = place
        change_focus(layer=shape[0] - 1 - row)
        if not by_node or column < shape[1] - 1:
            change_focus(**{"head" if by_node else "position": column})
        st.session_state["pr_picked_patch"] = True


def positions(result: Result, model: str, ids: tuple[int, ...], other: tuple[int, ...]) -> tuple[np.ndarray, list[str]]:
    """Recovered shares [layers positions], and the tokens of both prompts."""
    words = state.shelf().get(model).tokenizer.strings
    values = np.full((state.shelf().get(model).shape.n_layers, len(ids)), np.nan)
    for row in result.tables["positions"]:
        values[row["layer"], row["position"]] = row["recovered"]
    pairs = zip(words(list(ids)), words(list(other)), strict=True)
    return values, [here if here == there else f"{here}|{there}" for here, there in pairs]


def heads(result: Result) -> tuple[np.ndarray, list[str]]:
    """Recovered shares [layers, heads + MLP]."""
    gap = result.scalars["clean"] - result.scalars["corrupted"]
    scores = np.array([row["score"] for row in result.tables["nodes"][1:]]) / (gap or np.nan)
    width = next(n for n, row in enumerate(result.tables["nodes"][1:], 1) if row["node"].startswith("m"))
    return scores.reshape(-1, width), [*(f"head {n}" for n in range(width - 1)), "MLP"]
