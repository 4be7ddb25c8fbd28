"""The Sparsity and Probes pages by AppTest: empty, measured before, a stale address, measured on the page."""

import numpy as np
import pytest

from workbench.core import Result, Site, WorkbenchError
from workbench.data import PackConfig, open_text, pack
from workbench.models import load_model
from workbench.sparsity import ProfileConfig, profile
from workbench.workspace import Workspace
from workbench_app import exhibit, state
from workbench_probes import Examples, ProbeConfig, probe_sites

from .test_pages import MODEL, loaded, open_page, text_of  # noqa: F401


def measure() -> Result:
    model = load_model(MODEL)
    text = pack(open_text("synthetic-places"), model.tokenizer, PackConfig(sequence_length=24), model.policy)
    result = profile(model, text, ProfileConfig(tokens=400, sample_rows=32))
    result.save(Workspace().path_of("results", "one"))
    return result


def probe(seed: int = 0, **params: object) -> Result:
    draw = np.random.default_rng(seed)
    groups = np.arange(60)
    targets = groups % 2
    rows = {site: draw.normal(size=(60, 4)) + 2 * targets[:, None] for site in ("resid_post.0", "resid_post.1")}
    config = ProbeConfig(shuffles=2, bootstrap=20, folds=2, inner_folds=2)
    examples = Examples(targets, groups, ("no", "<b>yes</b>"))
    result = probe_sites({Site.parse(site): x for site, x in rows.items()}, examples, config)
    result.params.update({"model": MODEL, "data": "sentiment", "warnings": ["two texts are <i>alike</i>"], **params})
    result.save(Workspace().path_of("results", "first"))
    return result


@pytest.mark.parametrize(("page", "command"), [("sparsity", "sparsity profile"), ("probes", "probe sentiment")])
def test_an_empty_workspace_says_how_to_measure(page, command):
    at = open_page(page, m=MODEL)
    assert f"workbench {command}" in text_of(at)
    assert not at.error


def test_a_profile_of_this_model_is_shown_and_one_of_another_is_not():
    result = measure()
    at = open_page("sparsity", m=MODEL)
    assert f"{result.scalars['density_mean']:.1%}" in text_of(at)
    assert not at.error
    assert "Nothing was measured" in text_of(open_page("sparsity", m="tiny-sentences"))
    at = open_page("sparsity", m=MODEL, sp_tab="What silence costs")
    assert "workbench sparsity dial" in text_of(at)


def test_a_dial_is_shown_with_its_columns_in_the_order_of_reading():
    row = {
        "ce": 3.0, "allocation": "uniform", "layer": None, "perplexity_rise": 0.1, "perplexity_rise_high": 0.2,
        "perplexity_rise_low": 0.0, "rule": "top-k", "share": 0.5, "silent": 0.5,
    }  # fmt: skip
    made = Result(
        "dial", tables={"dial": [row]}, params={"model": MODEL}, notes=("one by one", "mlp_out: two.", "Three.")
    )
    made.save(Workspace().path_of("results", "dialled"))
    at = open_page("sparsity", m=MODEL, sp_tab="What silence costs")
    assert not at.error
    assert "One by one. mlp" in text_of(at)
    table = Result.load(Workspace().path_of("results", "dialled")).df("dial")
    assert exhibit.ordered(table) == [
        "allocation", "rule", "ce", "perplexity_rise", "perplexity_rise_low", "perplexity_rise_high", "share", "silent",
    ]  # fmt: skip
    assert exhibit.headed(table)["perplexity_rise"]["label"] == "perplexity rise"


def test_core_neurons_are_measured_before_and_on_the_page(loaded):  # noqa: F811
    rows = [{"prefix": 16, "against": "+8", "change": 0.02, "change_low": 0.01, "change_high": 0.03, "paper": None}]
    made = Result("core_stability", tables={"stability": rows}, params={"model": MODEL}, notes=("Sixteen texts.",))
    made.save(Workspace().path_of("results", "cores"))
    at = open_page("sparsity", m=MODEL, sp_tab="Core neurons")
    assert not at.error
    assert "Sixteen texts." in text_of(at)
    at.number_input(key="sp_core_sequences").set_value(2).run()
    next(button for button in at.button if button.label == "Measure the cores").click().run()
    (job,) = (job for job in state.jobs().jobs() if job.name == f"core neurons of {loaded}")
    with pytest.raises(WorkbenchError, match="wanted texts of 320 tokens"):  # this model's texts are short
        job.result(timeout=60)
    assert "--sequences 2" in job.command


def test_a_direction_can_be_steered_along_once_the_model_is_there(loaded):  # noqa: F811
    probe()
    row = {"towards": "<b>yes</b>", "direction": "probe", "strength": 2.0, "length": 3.0, "preference": 0.25, "kl": 0.1}
    made = Result("probe steering", tables={"steering": [row]}, params={"model": loaded}, notes=("Sixty texts.",))
    made.save(Workspace().path_of("results", "first-steering"))
    at = open_page("probes", m=loaded, pb="first", pb_tab="Steer")
    assert not at.error
    assert "Sixty texts." in text_of(at)
    assert at.selectbox(key="pb_to").value == "<b>yes</b>"


@pytest.mark.parametrize("tab", ["Scores", "The best site", "Features", "Steer"])
def test_every_tab_of_a_probe_stands(tab):
    probe()
    at = open_page("probes", m=MODEL, pb="first", pb_tab=tab)
    assert not at.error
    if tab == "Scores":
        assert "two texts are <i>alike</i>" in text_of(at)
        assert at.metric[0].value.startswith("resid_post")


def test_a_probe_that_is_gone_turns_amber_and_a_damaged_one_hides_nothing_else():
    probe()
    at = open_page("probes", m=MODEL, pb="../../secret")
    assert "not here" in "".join(warning.value for warning in at.warning)
    assert not at.error
    broken = Workspace().path_of("results", "broken")
    broken.mkdir()
    (broken / "manifest.json").write_text("{")
    assert not open_page("probes", m=MODEL).error


def test_geometry_and_lenses_stand_below_the_probes():
    rows = [{"site": f"resid_post.{n}", "layer": n, "anisotropy": 0.5, "two_nn": 3.0} for n in range(2)]
    made = Result("geometry", tables={"sites": rows}, params={"model": MODEL}, notes=("Rows of a cloud.",))
    made.save(Workspace().path_of("results", "shape"))
    at = open_page("probes", m=MODEL)
    assert not at.error
    assert [title.value for title in at.subheader] == ["Shape of the representations"]
    assert "Rows of a cloud." in text_of(at)
    assert f"workbench lens --model {MODEL}" in text_of(at)


def test_a_profile_is_measured_on_the_page(loaded):  # noqa: F811
    at = open_page("sparsity", m=loaded)
    at.number_input(key="sp_tokens").set_value(500).run()
    next(button for button in at.button if button.label == "Measure").click().run()
    (job,) = (job for job in state.jobs().jobs() if job.name == f"sparsity of {loaded}")
    assert job.result(timeout=60).scalars["tokens"] > 0
    assert Workspace().list("results")[0].name == f"{loaded}-sparsity"
