"""Sparsity: which neurons fire on a text, and what it costs to silence the others."""

import streamlit as st

from workbench.core import Progress, Result
from workbench.evaluation import DialConfig, dial
from workbench.sparsity import RULES, ProfileConfig, profile
from workbench_app import exhibit, frame, measured, state, work
from workbench_app.focus import focus
from workbench_app.offers import default_model, default_text, packed_text
from workbench_app.panels import core_neurons

TABS = ("Who fires", "What silence costs", "Core neurons")
TABLES = {
    "layers": "Every layer: density, outliers, concentration",
    "heads": "Every attention head: where it looks, and whether it is idle",
    "positions": "Density by position in the sequence",
    "frequencies": "Density by how common the token is",
    "flow": "Which dimensions of the stream stay active from token to token",
}
POINTS = ("rule", "perplexity_rise", "silent", "silent_low", "silent_high", "allocation", "paper")
DIALLED = (
    "rule", "share", "silent", "perplexity_rise", "perplexity_rise_low", "perplexity_rise_high", "perplexity",
    "agreement", "agreement_low", "agreement_high", "ce", "ce_low", "ce_high", "mlp_flops_kept", "allocation", "n",
)  # fmt: skip
PROFILE, DIAL = "sparsity_profile", "dial"


def as_python(model: str) -> str:
    return "\n".join(
        [
            "from workbench.evaluation import DialConfig",
            "from workbench.recipes import dial_by_name, profile_by_name",
            "from workbench.sparsity import ProfileConfig",
            "from workbench.workspace import Workspace",
            "",
            f"subject = {{'model': {model!r}, 'text': {default_text(model)!r}}}",
            "profile_by_name(Workspace(), 'profile', ProfileConfig(tokens=20_000), **subject)",
            "dial_by_name(Workspace(), 'dial', DialConfig(sequences=8), **subject)",
        ]
    )


def keep(name: str, result: Result) -> Result:
    result.save(state.workspace().path_of("results", name))
    return result


def profile_now(model: str) -> Result | None:
    """Settings of a profile, and the job that makes it."""
    text = st.text_input("Text", value=default_text(model), key="sp_text", persist_state="session")
    tokens = int(st.number_input("Tokens", 500, 1_000_000, 20_000, step=500, key="sp_tokens", persist_state="session"))
    config = ProfileConfig(tokens=tokens)

    def measure(progress: Progress) -> Result:
        held = state.shelf().get(model)
        found = profile(held, packed_text(held, text), config, progress)
        return keep(f"{model}-sparsity", found)

    return work.run(
        f"profile {model} {text} {tokens}", "Measure", measure, name=f"sparsity of {model}",
        command=f"workbench sparsity profile --model {model} --text {text} --tokens {tokens}",
        about="About a minute for 100,000 tokens of SmolLM2 on two cores.",
    )  # fmt: skip


def dial_now(model: str) -> Result | None:
    """Rules and shares, and the job that measures them."""
    text = st.text_input("Text", value=default_text(model), key="sp_dial_text", persist_state="session")
    rules = st.multiselect("Rules", list(RULES), default=["teal", "random"], key="sp_rules", persist_state="session")
    shares = st.slider(
        "Shares of silent neurons", 0.0, 0.95, (0.3, 0.7), step=0.05, key="sp_shares", persist_state="session"
    )
    middle = round(sum(shares) / 2, 3)
    config = DialConfig(rules=",".join(rules or ["random"]), shares=f"{shares[0]},{middle},{shares[1]}", sequences=8)

    def measure(progress: Progress) -> Result:
        held = state.shelf().get(model)
        found = dial(held, packed_text(held, text), config, None, progress)
        return keep(f"{model}-dial", found)

    return work.run(
        f"dial {model} {text} {config.rules} {config.shares}", "Measure", measure, name=f"dial of {model}",
        command=f"workbench sparsity dial --model {model} --text {text} --rules {config.rules} "
                f"--shares {config.shares} --sequences 8",
        about="Every rule and share is one pass over eight sequences; calibration comes first.",
    )  # fmt: skip


def show_profile(result: Result) -> None:
    scalars = result.scalars
    columns = st.columns(4)
    columns[0].metric("tokens", f"{scalars['tokens']:,.0f}")
    columns[1].metric("neurons that fire in a token", f"{scalars['density_mean']:.1%}")
    columns[2].metric("never fire", f"{scalars['dead_share']:.1%}")
    heads = len({(row["layer"], row["head"]) for row in result.tables.get("heads", ())})
    columns[3].metric("idle heads", f"{scalars['idle_heads']:.0f}" + (f" of {heads:,}" if heads else ""))
    exhibit.figure(result, "sp_layers", alt="Share of firing neurons by layer")
    exhibit.figure(result, "sp_map", name="firing_map", alt="Firing rate of every neuron, by layer")
    for name, title in TABLES.items():
        with st.expander(title):
            exhibit.table(result, f"sp_{name}", name)
    exhibit.notes(result)


def show_dial(result: Result) -> None:
    exhibit.figure(result, "sp_dial", alt="Rise of perplexity against the share of silent neurons")
    st.caption("Dotted: a rise of perplexity of 1 % and of 3 %.")
    if result.tables.get("operating_points"):
        exhibit.table(result, "sp_points", "operating_points", columns=POINTS)
    layered = ("layer",) if any(row["layer"] is not None for row in result.tables["dial"]) else ()
    if layered:
        exhibit.figure(result, "sp_dial_layers", name="dial_layers", alt="One layer gated alone")
    exhibit.table(result, "sp_dial_rows", "dial", columns=layered + DIALLED)
    exhibit.notes(result)


def tab(title: str, model: str) -> None:
    """The measurements that the workspace has, the chosen one, and the way to make another."""
    if title == TABS[2]:
        found, show, make, command = core_neurons.results(model), core_neurons.show, core_neurons.measure_now, "core"
    elif title == TABS[1]:
        found, show, make, command = measured.results(DIAL, model), show_dial, dial_now, "dial"
    else:
        found, show, make, command = measured.results(PROFILE, model), show_profile, profile_now, "profile"
    if found:
        show(found[measured.chosen(found, "Measurement", f"sp_of_{command}")])
    else:
        frame.missing(
            "Nothing was measured on this model yet.", "Here or on the command line:",
            f"workbench sparsity {command} --model {model}", looked_in=state.workspace().folder("results"),
        )  # fmt: skip
    with st.expander("Measure now", expanded=not found):
        if frame.need_model() and make(model) is not None and not found:
            st.rerun()


model = focus().model or default_model()
current = measured.results(PROFILE, model)
frame.actions(as_python(model), title=f"Sparsity of {model}", result=next(iter(current.values()), None))
tabs = st.tabs(list(TABS), key="sp_tab", on_change="rerun", bind="query-params")
for shown, title in zip(tabs, TABS, strict=True):
    if shown.open:
        with shown, frame.guard():
            tab(title, model)
