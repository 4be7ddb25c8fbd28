"""Probes: what a linear reader finds in the activations of every layer, beside what it could cheat by."""

import tempfile
from pathlib import Path

import streamlit as st

from workbench.core import Progress, Result, names
from workbench.recipes import NEURONS, TextRowsConfig, probe_by_name
from workbench_app import benches, exhibit, frame, measured, state, work
from workbench_app.focus import focus, set_focus
from workbench_app.offers import default_model
from workbench_app.panels import steering
from workbench_probes import ProbeConfig, read_probe

COLUMNS = {
    "probes": (
        "site", "method", "score", "score_low", "score_high", "selectivity", "control", "shuffled", "shuffled_low",
        "shuffled_high", "accuracy", "auc", "r", "ece", "strength",
    ),
    "calibration": ("from", "to", "n", "confidence", "accuracy"),
    "predictions": ("row", "group", "target", "predicted", "probability"),
    "steering": (
        "towards", "direction", "strength", "length", "preference", "preference_low", "preference_high", "kl",
        "loss_change", "perplexity",
    ),
    "baselines": ("baseline", "score", "score_low", "score_high", "accuracy"),
    "sites": (
        "site", "anisotropy", "anisotropy_rest", "massive", "mean_cosine", "participation", "two_nn",
        "likelihood_dimension", "linearity_to_next", "linearity_to_next_rest", "median_norm", "largest", "kurtosis",
    ),
    "lenses": (
        "site", "logit", "logit_low", "logit_high", "tuned", "tuned_low", "tuned_high", "gain", "gain_low",
        "gain_high", "logit_agreement", "tuned_agreement",
    ),
}  # fmt: skip
BEST = {
    "confusion": "Confusion: rows are the true classes, columns the predicted ones",
    "calibration": "Calibration: does it know when it is right?",
    "predictions": "Every held-out row",
}
TABS = ("Scores", "The best site", "Features", "Steer")
METHODS = ("logistic", "mean-difference", "sparse", "ridge")
SUFFIXES = ("csv", "tsv", "jsonl", "parquet")
# kind of the Result, its table, title, command, what the figure shows
MEASURED = (
    (
        "geometry", "sites", "Shape of the representations", "geometry",
        "Anisotropy, linearity and dimension at every layer",
    ),
    (
        "lenses", "lenses", "Logit lens and tuned lens", "lens",
        "KL from the model's prediction at every layer, by lens",
    ),
)  # fmt: skip
MEGABYTES = 20  # of a table that may be uploaded


def as_python(model: str, data: str) -> str:
    return "\n".join(
        [
            "from workbench.recipes import probe_by_name",
            "from workbench.workspace import Workspace",
            "",
            f"probe_by_name(Workspace(), {data!r}, ['resid_post'], model={model!r}).probes",
        ]
    )


def choose(found: dict[str, Result]) -> str:
    """The probe of the address, else the newest."""
    wanted = focus().probe
    if wanted and wanted not in found:
        st.warning(frame.plain(f"The address names a probe that is not here: {wanted}."), icon=":material/link_off:")

    def picked() -> None:
        set_focus(probe=st.session_state["pb_choice"])

    listed = list(found)
    index = listed.index(wanted) if wanted in found else 0
    return st.selectbox("Probe", listed, index=index, key="pb_choice", on_change=picked, width=360)


def table_given() -> tuple[str, bytes | None]:
    """A built-in set, or a table that was uploaded; nothing else of this machine can be named here."""
    built_in = st.selectbox("Labelled texts", names("labelled text"), key="pb_data", persist_state="session")
    given = st.file_uploader(
        "or a table with columns text, label and maybe group (the source of a text: no split shares one)",
        type=list(SUFFIXES), key="pb_upload", max_upload_size=MEGABYTES,
    )  # fmt: skip
    if given is None:
        return built_in, None
    return given.name, given.getvalue()


def train_now(model: str) -> Result | None:
    """Data, sites and method, and the job that trains and judges the probes."""
    data, content = table_given()
    layers = state.shelf().get(model).shape.n_layers
    few = ",".join(f"resid_post.{layer}" for layer in sorted({0, layers // 2, layers - 1}))
    sites = st.text_input("Sites", value=few, key="pb_sites", help="`resid_post` alone means every layer.")
    method = st.selectbox("Method", METHODS, key="pb_method", persist_state="session")
    texts = int(st.number_input("Texts", 20, 100_000, 200, key="pb_texts", persist_state="session"))
    config, rows = ProbeConfig(method=method), TextRowsConfig(texts=texts, pool="mean")
    place, loader = state.workspace(), state.shelf().loader
    name = f"{model}-{Path(data).stem}-{method}"

    def train(progress: Progress) -> Result:
        with tempfile.TemporaryDirectory() as folder:
            source = data
            if content is not None:
                path = Path(folder, f"table{Path(data).suffix.lower()}")
                path.write_bytes(content)
                source = str(path)
            found = probe_by_name(
                place, source, [sites], config, rows, name=name, model=model, loader=loader, progress=progress
            )
        return found.probes

    return work.run(
        f"probe {model} {data} {sites} {method} {texts} {len(content or b'')}", "Train and judge", train,
        name=f"probe {data} in {model}",
        command=f"workbench probe {data} -s {sites} --method {method} --texts {texts} --pool mean --model {model}",
        about="Every site is trained on some folds and judged on others, with shuffled labels and a control task.",
    )  # fmt: skip


def show_scores(result: Result) -> None:
    scalars = result.scalars
    columns = st.columns(3)
    columns[0].metric("best site", str(result.params.get("best", "")))
    columns[1].metric(
        "its score", f"{scalars['best_score']:.3f}", help="On held-out groups; the notes say which score."
    )
    columns[2].metric("best baseline", f"{scalars['best_baseline']:.3f}", help="What can be had without the model.")
    if warnings := result.params.get("warnings", ()):
        st.warning("  \n".join(map(frame.plain, warnings)), icon=":material/warning:")
    exhibit.figure(result, "pb_scores", alt="Score at every site, beside shuffled labels, control task and baselines")
    exhibit.table(result, "pb_probes", "probes", columns=COLUMNS["probes"])
    exhibit.table(result, "pb_baselines", "baselines", columns=COLUMNS["baselines"])
    exhibit.notes(result)


def show_best(result: Result) -> None:
    shown = {name: title for name, title in BEST.items() if result.tables.get(name)}
    if not shown:
        st.info("A probe of numbers has no classes to confuse.")
    for name, title in shown.items():
        st.markdown(f"**{title}**")
        if name == "confusion":
            counts = result.df(name).pivot_table(index="true", columns="predicted", values="n", aggfunc="sum")
            st.dataframe(counts, alt="Confusion: true classes by predicted ones")
            exhibit.download(result, f"pb_{name}", name)
        else:
            exhibit.table(result, f"pb_{name}", name, columns=COLUMNS[name])


def show_features(result: Result) -> None:
    if result.tables.get("features"):
        exhibit.table(result, "pb_features", "features")
        return
    frame.missing(
        "No dictionary was named for these probes.",
        "With one, this tab lists the features nearest to each direction:",
        f"workbench probe {result.params.get('data', 'topics')} -s {result.params.get('best', 'resid_post')} -d NAME",
    )


def show_steering(model: str, name: str, result: Result) -> None:
    made = measured.results("probe steering", model).get(f"{name}-steering")
    if made is not None:
        exhibit.figure(made, "pb_steered", alt="What steering by the probe buys and costs, beside random directions")
        exhibit.table(made, "pb_steering", "steering", columns=COLUMNS["steering"])
        exhibit.notes(made)
    else:
        st.caption("`workbench probe ... --steer` measures whether this moves the model, beside random directions.")
    if model not in state.shelf().names():
        st.info("Load the model, below or in the sidebar, to steer along this direction.", icon=":material/tune:")
        return
    probe = read_probe(result)
    towards = st.selectbox("Towards", probe.classes or ("larger numbers",), index=len(probe.classes) - 1, key="pb_to")
    vector = probe.direction(towards if probe.classes else None).tolist()
    steering.show_panel(NEURONS, benches.bench(model, NEURONS), None, direction=(probe.site, vector, f"{towards}"))


def tab(title: str, model: str, name: str, result: Result) -> None:
    if title == TABS[0]:
        show_scores(result)
    elif title == TABS[1]:
        show_best(result)
    elif title == TABS[2]:
        show_features(result)
    else:
        show_steering(model, name, result)


def show_measured(model: str) -> None:
    """Geometry and lenses of the model, where they were measured by command."""
    for kind, rows, title, key, alt in MEASURED:
        made = measured.results(kind, model)
        if made:
            st.subheader(title)
            name = measured.chosen(made, "Result", f"{key}_choice") if len(made) > 1 else next(iter(made))
            exhibit.figure(made[name], f"{key}_figure", alt=alt)
            exhibit.table(made[name], f"{key}_table", rows, columns=COLUMNS[rows])
            exhibit.notes(made[name])
        else:
            st.caption(f"`workbench {key} --model {model}` measures what would be shown here: {title.lower()}.")


model = focus().model or default_model()
found = measured.results("probes", model)
with frame.guard():
    if found:
        name = choose(found)
        frame.actions(as_python(model, str(found[name].params["data"])), title=f"Probe {name}", result=found[name])
        tabs = st.tabs(list(TABS), key="pb_tab", on_change="rerun", bind="query-params")
        for shown, title in zip(tabs, TABS, strict=True):
            if shown.open:
                with shown, frame.guard():
                    tab(title, model, name, found[name])
    else:
        frame.actions(as_python(model, "topics"))
        frame.missing(
            "No probe was trained on this model yet.", "Below, or on the command line:",
            f"workbench probe sentiment -s resid_post --model {model}", looked_in=state.workspace().folder("results"),
        )  # fmt: skip
with st.expander("Train probes", expanded=not found), frame.guard():
    if frame.need_model() and train_now(model) is not None and not found:
        st.rerun()
with frame.guard():
    show_measured(model)
