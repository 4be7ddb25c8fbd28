"""The dialog that traces a new graph: the prompt, what is explained, with which dictionaries, at what cost."""

import time
from typing import Any

import streamlit as st

from workbench.circuits import TraceConfig
from workbench.core import Progress, WorkbenchError
from workbench.recipes import slug, trace_by_name
from workbench.workspace import Entry
from workbench_app import frame, state
from workbench_app.analysis import check_length
from workbench_app.focus import focus
from workbench_app.offers import default_model, examples
from workbench_app.wording import show, size

from . import take

PACE = "pace-trace"
TARGETS = {"top": "the most probable tokens", "one": "one token", "difference": "one token against another"}
ASSUMED_L0 = 32


def sets_of(model: str) -> list[Entry]:
    """Dictionaries of the workspace that belong to a model, those with transcoders first: what a graph is made of."""
    found = [
        entry
        for entry in state.workspace().list("dictionaries")
        if entry.manifest and entry.manifest.model and entry.manifest.model.id == model
    ]
    return sorted(found, key=lambda entry: not any(entry.path.glob("mlp_in.*")))


ASKED = {"ci_prompt": "ci_new_prompt", "ci_target": "ci_new_first", "ci_foil": "ci_new_second"}
"""Keys of an address that fills in the dialog -> keys of its boxes."""


def as_query(prompt: str, target: str, foil: str) -> dict[str, str]:
    """The part of an address that opens the dialog filled in."""
    return dict(zip(ASKED, (prompt, target, foil), strict=True))


def answer() -> None:
    """Open the dialog if the address asks for it, once."""
    asked = {box: st.query_params[key] for key, box in ASKED.items() if key in st.query_params}
    for key in ASKED:
        st.query_params.pop(key, None)
    if asked:
        st.session_state.pop("ci_new_ids", None)
        st.session_state.update(asked)
        dialog()


@st.dialog("New graph", width="large")
def dialog() -> None:
    """Everything that a trace needs; it runs as a job, so the dialog can be closed."""
    with frame.guard():
        _form()


def _form() -> None:
    model = focus().model or default_model()
    entries = sets_of(model)
    if not entries:
        frame.missing(
            f"No dictionaries of {model} in this workspace",
            "A graph needs transcoders of the model; these commands train some:",
            "workbench demo --quick", f"workbench train {model}",
            looked_in=state.workspace().folder("dictionaries"),
        )  # fmt: skip
        return
    st.session_state.setdefault("ci_new_prompt", focus().prompt or examples(model)[0])
    prompt = st.text_area("Prompt", key="ci_new_prompt", max_chars=20_000)
    loaded = model in state.shelf().names()
    ids: tuple[int, ...] = ()
    target = foil = None
    if loaded and prompt:
        held = state.shelf().get(model)
        ids = state.shelf().encode(model, prompt, None)
        check_length(len(ids), held.shape.n_ctx)
        words = held.tokenizer.strings(list(ids))
        st.caption(frame.plain(f"{len(ids)} tokens: " + "│".join(words[:60]) + ("…" if len(words) > 60 else "")))
        target, foil = _target(model, ids)
    elif not loaded:
        st.caption(f"{frame.plain(model)} is loaded when the trace starts; load it first to choose among its tokens.")
        target = st.text_input("Token to explain (empty: the most probable)", key="ci_new_target") or None
        foil = (st.text_input("Against the token (may be empty)", key="ci_new_foil") or None) if target else None
    left, middle, right = st.columns(3)
    chosen = left.selectbox("Dictionaries", [e.name for e in entries], key="ci_new_set")
    most = int(middle.number_input("Features at most", 50, 100_000, 2000, 50, key="ci_new_features"))
    name = right.text_input("Name", value=slug(prompt), key=f"ci_new_name_{slug(prompt)}", max_chars=60)
    if ids:
        st.caption(estimate(model, len(ids), most))
    if st.button("Start", type="primary", icon=":material/play_arrow:", disabled=not prompt.strip() or not name):
        start(prompt, chosen, target, foil, take.free_name(name), most)
        st.rerun()


def _target(model: str, ids: tuple[int, ...]) -> tuple[str | None, str | None]:
    read = state.reading(model, ids)
    words = state.shelf().get(model).tokenizer.strings
    texts = words(read.top_ids[-1].tolist())
    chances = dict(zip(texts, map(float, read.top_probabilities[-1]), strict=True))
    kind = st.segmented_control(
        "Explain", list(TARGETS), default="difference", required=True, format_func=lambda k: TARGETS[k],
        key="ci_new_kind",
    )  # fmt: skip
    if kind == "top":
        return None, None

    def told(text: str) -> str:
        return f"{text!r} p = {show(chances[text])}" if text in chances else repr(text)

    boxes = ("ci_new_first", "ci_new_second")
    if st.session_state.get("ci_new_ids", ids) != ids:  # another prompt: what was chosen for the last one is void
        for key in boxes:
            st.session_state.pop(key, None)
    st.session_state["ci_new_ids"] = ids
    asked = [st.session_state.get(key) for key in boxes]
    options = list(dict.fromkeys([*chances, *filter(None, asked)]))
    left, right = st.columns(2)
    first = left.selectbox("Token", options, format_func=told, key="ci_new_first", accept_new_options=True, index=0)
    if kind == "one":
        return first, None
    st.session_state.setdefault("ci_new_second", options[min(1, len(options) - 1)])
    second = right.selectbox("Against", options, format_func=told, key="ci_new_second", accept_new_options=True)
    return first, second


def estimate(model: str, tokens: int, features: int) -> str:
    """Time from the last trace on this machine, memory from the number of units and edges."""
    shape = state.shelf().get(model).shape
    units = min(tokens * shape.n_layers * ASSUMED_L0, 10**9)
    held = units * shape.d_model * 4 * 2 + TraceConfig().max_edges * 24
    rows = min(features, units)
    view = state.database().view(PACE)
    pace = view.state.get(model) if view else None
    memory = f"about {size(held)} of memory at {ASSUMED_L0} active features a token and layer"
    if not pace:
        return f"Up to {rows:,} features are expanded; {memory}. No trace of this model was timed on this machine yet."
    seconds = pace * rows * tokens * shape.n_layers
    return f"About {max(1, seconds):.0f} s by the last trace on this machine, {memory}."


def start(prompt: str, chosen: str, target: str | None, foil: str | None, name: str, most: int) -> None:
    """Trace as a job; the graph appears in the gallery."""
    place, shelf, database = state.workspace(), state.shelf(), state.database()
    place.path_of("graphs", name)

    def work(progress: Progress) -> Any:
        graph = trace_by_name(
            place, prompt, chosen, target=target, foil=foil, name=name,
            config=TraceConfig(max_feature_nodes=most), progress=progress, loader=shelf.loader,
        )  # fmt: skip
        began = getattr(progress, "started", None)
        if began is not None and graph.manifest.model:
            rows = min(most, len(graph.find("feature"))) * len(graph.tokens) * graph.n_layers
            view = database.view(PACE)
            paces = {**(view.state if view else {}), graph.manifest.model.id: (time.monotonic() - began) / max(rows, 1)}
            database.save_view(PACE, "pace", paces)
        return graph.manifest.name

    command = f"workbench circuit trace {prompt!r} --name {name}"
    key = f"trace-{name}-{hash((prompt, chosen, target, foil, most))}"
    try:
        state.start_job(key, f"trace {name}", work, command)
    except WorkbenchError as error:
        st.error(frame.plain(str(error)))
