"""Core neurons of a model: what a fixed core costs, how stable it is, what it tells of meaning."""

import streamlit as st

from workbench.core import Progress, Result
from workbench.evaluation import CoreLossConfig, CoreSimilarityConfig, CoreStabilityConfig
from workbench.recipes import core_by_name
from workbench_app import exhibit, measured, state, work
from workbench_app.offers import default_text

TITLES = {
    "core_loss": "What it costs to let only a fixed core speak, beside each token's own strongest and a random core",
    "core_stability": "How much of the core changes when the text before grows",
    "core_similarity": "Do sentences of like meaning have like cores?",
}
MEASURES = ("loss", "stability", "similarity")
ROWS = {
    "loss": (
        "way", "share", "perplexity_ratio", "perplexity_ratio_low", "perplexity_ratio_high", "loss", "agreement",
        "tokens", "documents",
    ),
    "stability": ("prefix", "against", "change", "change_low", "change_high", "paper"),
}  # fmt: skip


def results(model: str) -> dict[str, Result]:
    """What was measured on the cores of a model, one kind after another, each the newest first."""
    return {name: made for kind in TITLES for name, made in measured.results(kind, model).items()}


def show(result: Result) -> None:
    st.caption(TITLES[result.kind])
    exhibit.figure(result, "sp_core", alt=TITLES[result.kind])
    for name in (table for table in result.tables if table != "layers"):
        exhibit.table(result, f"sp_core_{name}", name, columns=ROWS.get(name, ()))
    exhibit.notes(result)


def measure_now(model: str) -> Result | None:
    """What is measured on how many texts, and the job that does it."""
    measure = st.segmented_control("Measure", MEASURES, default="loss", key="sp_core_measure", required=True)
    if measure == "similarity":
        config, command, about = CoreSimilarityConfig(), "", "72 sentences that come with the workbench."
    else:
        text = st.text_input("Text", value=default_text(model), key="sp_core_text", persist_state="session")
        number = st.number_input("Texts", 2, 1000, 6, key="sp_core_sequences", persist_state="session")
        kind = CoreLossConfig if measure == "loss" else CoreStabilityConfig
        config = kind(sequences=int(number))
        command, about = f" --text {text} --sequences {config.sequences}", "The model is loaded once more, plainly."
    place, chosen = state.workspace(), default_text(model) if measure == "similarity" else text

    def find(progress: Progress) -> Result:
        return core_by_name(
            place, f"{model}-core-{measure}", measure, config, model=model, text=chosen, progress=progress
        )

    return work.run(
        f"core {model} {measure} {command}", "Measure the cores", find, name=f"core neurons of {model}",
        command=f"workbench sparsity core {measure} --model {model}{command}", about=about,
    )  # fmt: skip
