"""Bigrams: which weights a mask kept, and how a model answers with them alone or without them."""

from collections.abc import Mapping

import pandas as pd
import streamlit as st

from workbench.core import Result, WorkbenchError
from workbench.recipes import FOLDER, evaluate_bigram, mask_shelf
from workbench.subnetworks import Subnetwork
from workbench_app import exhibit, frame, state
from workbench_app.focus import focus, set_focus

TABS = ("Where it lives", "Answers", "Removed", "Rotation", "Tokens", "How it was made")
TRAIN = "workbench bigram train --name bigram --model tiny-wikipedia --sequence-length 64"


def as_python(name: str | None) -> str:
    return "\n".join(
        [
            "from workbench.recipes import evaluate_bigram, open_subnetwork",
            "from workbench.workspace import Workspace",
            "",
            f"open_subnetwork(Workspace(), {name!r}).table()",
            f"evaluate_bigram(Workspace(), {name!r})",
        ]
    )


def choose(names: list[str]) -> str:
    """The mask of the address, else the first."""
    wanted = focus().mask
    if wanted and wanted not in names:
        st.warning(frame.plain(f"The address names a mask that is not here: {wanted}."), icon=":material/link_off:")
    shown = wanted if wanted in names else names[0]

    def picked() -> None:
        set_focus(mask=st.session_state["bg_choice"])

    st.selectbox("Mask", names, index=names.index(shown), key="bg_choice", on_change=picked, width=360)
    return shown


def headline(subnetwork: Subnetwork, judged: Result | None) -> None:
    if subnetwork.model is not None:
        st.caption(frame.plain(f"A mask of {subnetwork.model.id}, whatever model is chosen above."))
    found = [
        ("weights kept", f"{subnetwork.kept:,}", f"of {subnetwork.total:,}"),
        ("share kept", f"{subnetwork.share:.2%}", "of attention and MLP matrices"),
    ]
    if judged is not None:
        found += [
            ("r, this mask", f"{judged.scalars['r']:.3f}", "surprisals against the bigram's"),
            ("r, full model", f"{judged.scalars['r_full']:.3f}", "the same without a mask"),
        ]
    for column, (name, value, about) in zip(st.columns(len(found)), found, strict=True):
        with column:
            st.metric(name, value)
            st.caption(about)


def judge_now(name: str) -> None:
    """Nothing measured yet: the button that measures, the command that does the same."""
    key, place = f"bigram/{name}", state.workspace()
    job = state.job_of(key)
    if job is not None and job.active:
        frame.show_job(job, key="bg_judge")
        st.button("Look again", icon=":material/refresh:", key="bg_again")
        return
    if job is not None and job.error:
        st.error(frame.plain(job.error), icon=":material/error:")
    command = f"workbench bigram evaluate {name}"
    frame.missing("This mask has not been judged yet.", "About a minute for a tiny model.", command)
    st.button(
        "Judge it", type="primary", icon=":material/play_arrow:", key="bg_start", on_click=state.start_job,
        args=(key, f"Judge {name}", lambda progress: evaluate_bigram(place, name, progress=progress), command),
    )  # fmt: skip


def made(subnetwork: Subnetwork, judged: Result | None) -> None:
    if judged is not None and judged.tables.get("training"):
        exhibit.figure(judged, "bg_training", name="bigram training", alt="Divergence and share kept over the training")
    rows = [{"setting": key.replace("_", " "), "value": told(value)} for key, value in subnetwork.details.items()]
    st.dataframe(pd.DataFrame(rows), hide_index=True, alt="How the mask was made")


def told(value: object) -> str:
    """A setting in words: what it holds one after the other, four digits, hashes by their start."""
    if isinstance(value, Mapping):
        return " · ".join(f"{str(key).replace('_', ' ')}: {told(item)}" for key, item in value.items())
    if isinstance(value, float):
        return f"{value:.4g}"
    text = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
    return text[:12] if len(text) == 64 and set(text) <= set("0123456789abcdef") else text


def tab(name: str, title: str, subnetwork: Subnetwork, judged: Result | None) -> None:
    if title == TABS[0]:
        placed = Result("bigram density", tables={"matrices": subnetwork.table()})
        exhibit.figure(placed, "bg_density", alt="Share kept of every matrix")
        exhibit.table(placed, "bg_matrices")
    elif title == TABS[5]:
        made(subnetwork, judged)
    elif judged is None:
        judge_now(name)
    elif title == TABS[1]:
        exhibit.figure(judged, "bg_answers_figure", alt="Correlation with the bigram")
        exhibit.table(judged, "bg_answers", "answers")
        exhibit.table(judged, "bg_bands", "bands")
    elif title == TABS[2]:
        st.caption("The full model without these entries, beside as many entries removed at random in every block.")
        if judged.tables.get("removal"):
            exhibit.figure(judged, "bg_removal", name="bigram removal", alt="Loss without shares of the mask")
        exhibit.table(judged, "bg_removed", "removed")
        if "overlap" in judged.tables:
            exhibit.table(judged, "bg_overlap", "overlap")
    elif title == TABS[3]:
        exhibit.figure(judged, "bg_rotation", name="bigram rotation", alt="Rotation by layer")
        exhibit.table(judged, "bg_rotations", "rotation")
    elif judged.tables.get("examples"):
        exhibit.table(judged, "bg_examples", "examples")
    else:
        st.info("No examples were kept.")
    if judged is not None and title in TABS[1:5]:
        exhibit.notes(judged)


with frame.guard():
    place = state.workspace()
    names, judgements = mask_shelf(place)
    if not names:
        frame.actions(as_python(None))
        frame.missing(
            "There is no mask in this workspace yet.",
            "Training one on the tiny model of real text takes some minutes and no download of a model:",
            TRAIN,
            looked_in=place.path / FOLDER,
        )
    else:
        name = choose(names)
        try:
            subnetwork = Subnetwork.load(place.path_of(FOLDER, name))
        except WorkbenchError:
            frame.actions(as_python(name))
            raise
        judged = judgements.get(name)
        frame.actions(as_python(name), title=f"Bigram subnetwork {name}", result=judged)
        headline(subnetwork, judged)
        tabs = st.tabs(list(TABS), key="bg_tab", on_change="rerun", bind="query-params")
        for shown, title in zip(tabs, TABS, strict=True):
            if shown.open:
                with shown, frame.guard():
                    tab(name, title, subnetwork, judged)
