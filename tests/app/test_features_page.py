"""The Features page by AppTest: empty, loaded, wrong, by link; every tab, every search, labels and steering."""

import pytest

from workbench.core import ModelRef, Silent, Unit
from workbench.workspace import Workspace
from workbench_app import draft, pinned, state

from .test_pages import open_page, text_of
from .units import MODEL, fill_units

UNIT = "transcoder:mine:mlp_in.1:0"


@pytest.fixture(autouse=True)
def loaded():
    state.shelf().load(MODEL, Silent())
    yield MODEL
    state.shelf().unload(MODEL)
    state.jobs().clear()


@pytest.fixture
def filled():
    """The set with its scan; gives the address of the unit that fires most in the upper layer."""
    from workbench.features import open_scan, unit_of
    from workbench.recipes import open_bench

    fill_units(Workspace().path)
    bench, _ = open_bench(Workspace(), "mine")
    scan = open_scan(Workspace().path_of("stores", "mine-scan"))
    return str(unit_of(bench.dictionaries, "mlp_in.1", int(scan.counts("mlp_in.1").argmax())))


def finished(at):
    """The page once every job has ended."""
    for job in state.jobs().jobs():
        job.result(timeout=60)
    at.run()
    assert not at.exception
    return at


def test_without_dictionaries_the_page_says_how_to_get_one():
    text = text_of(open_page("features", m=MODEL))
    assert "There is no dictionary for this model" in text
    assert "workbench train" in text


def test_without_a_scan_it_offers_one_and_makes_it():
    fill_units(Workspace().path, scanned=False)
    at = open_page("features", m=MODEL)
    assert "workbench features scan mine" in text_of(at)
    at.number_input(key="ft_scan_count").set_value(8).run()
    at.text_input(key="ft_scan_text").set_value("synthetic-places:60").run()
    next(button for button in at.button if button.label == "Scan now").click().run()
    finished(at)
    at.run()
    assert "No text was scanned" not in text_of(at)
    assert "units shown" in text_of(at)


def test_the_browser_counts_what_it_hides(filled):
    at = open_page("features", m=MODEL)
    assert not at.error
    before = text_of(at)
    assert "of 24 units shown" in before
    at.button_group(key="ft_hide").set_value([]).run()
    assert "24 of 24 units shown" in text_of(at)
    at.selectbox(key="ft_member").set_value("mlp_in.1").run()
    at.selectbox(key="ft_sort").set_value("largest activation").run()
    assert not at.error
    assert len(at.dataframe[0].value) == 24
    assert at.dataframe[0].value["largest"].is_monotonic_decreasing


@pytest.mark.parametrize("tab", ["Where it fires", "What it writes", "Relatives", "Try a text", "Steer"])
def test_a_link_opens_a_unit_at_every_tab(filled, tab):
    at = open_page("features", m=MODEL, d="mine", u=filled, ft_tab=tab, q="the man from north korea")
    assert not at.error
    assert not at.warning
    assert f"transcoder {Unit.parse(filled).index}" in text_of(at)
    assert "Fires on" in text_of(at)


def test_a_second_unit_stands_beside_the_first(filled):
    other = "neuron::mlp_in.1:3"
    at = open_page("features", m=MODEL, d="mine", u=filled, ft_tab="Compare", ft_other=other)
    assert not at.error
    assert "both sets must have been scanned" in text_of(at)
    near = at.selectbox(key="ft_offered").options[0]
    at.selectbox(key="ft_offered").set_value(near).run()
    assert not at.error
    assert {"written, cosine", "read, cosine", "together"} <= {metric.label for metric in at.metric}
    at.button(key="ft_swap").click().run()
    assert (at.session_state["focus"].unit, at.session_state["ft_other"]) == (near, filled)
    at.text_input(key="ft_other").set_value("transcoder:mine:mlp_in.1:99").run()
    assert "units 0 to 23" in text_of(at)


def test_what_a_link_names_wrongly_is_told_and_the_page_stays(filled):
    at = open_page("features", m=MODEL, d="mine", u="transcoder:mine:mlp_in.1:99")
    assert "units 0 to 23" in text_of(at)
    assert "of 24 units shown" in text_of(at)
    at = open_page("features", m=MODEL, d="mine", u="nonsense")
    assert "cannot read the unit" in text_of(at)
    at = open_page("features", m=MODEL, d="mien")
    assert "did you mean mine" in text_of(at)
    assert "mien is not in this workspace" in text_of(at)


def test_dictionaries_of_another_model_are_refused_with_both_hashes():
    fill_units(Workspace().path, scanned=False, ref=ModelRef(id=MODEL, weight_hash="f" * 64))
    at = open_page("features", m=MODEL)
    assert "made for weights ffffffffffff" in text_of(at)


@pytest.mark.parametrize(
    ("mode", "query"),
    [
        ("Words of labels", "capital"),
        ("Fires on this text", "the man from north korea"),
        ("Writes this token", " cap-north-korea"),
    ],
)
def test_a_search_is_in_the_address(filled, mode, query):
    state.database().set_label(Unit.parse(filled), "capital cities")
    key = {"Words of labels": "label", "Fires on this text": "text", "Writes this token": "token"}[mode]
    at = open_page("features", m=MODEL, ft_mode=mode, **{f"ft_q_{key}": query})
    assert not at.error
    assert len(at.dataframe[0].value) >= 1
    if key == "label":
        assert list(at.dataframe[0].value["unit"]) == [filled]


def test_a_pattern_is_searched_as_a_job(filled):
    at = open_page("features", m=MODEL, ft_mode="Regular expression", ft_q_pattern=r"\b(capital)\b")
    next(button for button in at.button if button.label == "Search every unit").click().run()
    finished(at)
    assert {"precision", "recall", "f1"} <= set(at.dataframe[0].value)
    assert "tokens match" in text_of(at)
    at = open_page("features", m=MODEL, ft_mode="Regular expression", ft_q_pattern="(")
    next(button for button in at.button if button.label == "Search every unit").click().run()
    for job in state.jobs().jobs():
        job._ended.wait(60)
    at.run()
    assert "regular expression" in text_of(at)


def test_a_contrast_wants_two_texts_on_either_side(filled):
    at = open_page("features", m=MODEL, ft_mode="Contrast", ft_a="the man\nthe woman", ft_b="a dog")
    assert "Two texts or more" in text_of(at)
    at.text_area(key="ft_b").set_value("a big dog\na small dog").run()
    next(button for button in at.button if button.label == "Contrast").click().run()
    finished(at)
    assert {"effect", "p", "p_family"} <= set(at.dataframe[0].value)


def test_labels_are_kept_with_their_history_and_taken_back(filled):
    at = open_page("features", m=MODEL, d="mine", u=filled)
    at.text_input(key=f"ft_label_{filled}").set_value("places <b>north</b>").run()
    at.text_input(key=f"ft_label_{filled}").set_value("northern places").run()
    assert state.database().labels() == {Unit.parse(filled): "northern places"}
    assert [label.text for label in state.database().label_history(Unit.parse(filled))][1] == "places <b>north</b>"
    at.button(key=f"ft_label_{filled}_undo").click().run()
    assert state.database().labels() == {Unit.parse(filled): "places <b>north</b>"}
    assert at.text_input(key=f"ft_label_{filled}").value == "places <b>north</b>"


def test_the_playground_steers_and_keeps_its_list_in_the_address(filled):
    at = open_page("features", m=MODEL, d="mine", u=filled, ft_tab="Steer", q="the man from north korea")
    at.number_input(key="st_new").set_value(3).run()
    at.number_input(key="st_random").set_value(1).run()
    next(button for button in at.button if button.label == "Steer").click().run()
    finished(at)
    table = next(table.value for table in at.dataframe if "perplexity" in table.value)
    assert list(table["condition"]) == ["unedited", "edited", "wrong sign", "random direction"]
    at.button(key="st_save").click().run()
    view = at.session_state["focus"].view
    assert view.startswith("steer-")
    again = open_page("features", m=MODEL, d="mine", u=filled, ft_tab="Steer", v=view)
    assert again.text_area(key="st_prompt").value == "the man from north korea"
    stale = open_page("features", m=MODEL, d="mine", u=filled, ft_tab="Steer", v="steer-000000000000")
    assert "not in this workspace" in text_of(stale)


def test_the_prompt_page_lists_what_is_active_at_a_position(filled):
    query = {"m": MODEL, "q": "the man from north korea", "t": "3", "pr_tab": "Features"}
    at = open_page("prompt", **query)
    assert not at.error
    table = at.dataframe[0].value
    assert {"unit", "activation", "relative", "logit"} <= set(table)
    assert "units are active at position 3" in text_of(at)
    at.toggle(key="pr_hide_dense").set_value(True).run()
    assert not at.error


def test_the_drawer_shows_a_unit_and_leads_to_its_page(filled):
    at = open_page("prompt", m=MODEL, q="the man from north korea", t="3", pr_tab="Features")
    at.session_state["peek"] = filled
    at.run()
    assert not at.exception
    assert filled in text_of(at)
    assert at.session_state["focus"].unit == filled
    assert [link.label for link in at.get("page_link")] == ["Open page"]


def test_the_drawer_pins_steers_and_reports(filled):
    at = open_page("prompt", m=MODEL, q="the man from north korea", t="3", pr_tab="Features")
    for key in ("peek_pin", "peek_steer", "peek_report"):
        at.session_state["peek"] = filled
        at.run()
        at.button(key=key).click().run()
        assert not at.exception
        assert not at.error
    assert [str(unit) for unit in pinned.units()] == [filled]
    assert at.session_state["st_added"] == [filled]
    (block,) = draft.blocks()
    assert block["title"] == f"Unit {filled}"
    assert "/features?" in block["address"]
    other = UNIT if filled != UNIT else UNIT[:-1] + "1"
    at = open_page("features", m=MODEL, d="mine", u=other)
    at.session_state["st_added"] = [filled]
    at.session_state["ft_tab"] = "Steer"
    at.run()
    assert not at.error
    assert [edit.unit for edit in at.session_state["st_edits"]] == [other, filled]
    at.button(key=f"pin_open_{filled}").click().run()
    assert at.session_state["focus"].unit == filled
    assert [edit.unit for edit in at.session_state["st_edits"]] == [filled]
    at.button(key=f"pin_drop_{filled}").click().run()
    assert pinned.units() == []
    assert not at.error


def test_without_dictionaries_the_prompt_page_says_so():
    at = open_page("prompt", m=MODEL, q="the man", pr_tab="Features")
    assert "no dictionary for this model" in text_of(at)


def test_neurons_are_looked_at_like_features():
    at = open_page("features", m=MODEL, d="neurons", u="neuron::mlp_in.0:3", ft_tab="What it writes")
    assert not at.error
    assert "workbench features scan neurons --model planted-places" in text_of(at)


def test_a_unit_is_added_to_the_report_draft(filled):
    at = open_page("features", m=MODEL, d="mine", u=filled)
    at.button(key="add_to_report").click().run()
    (block,) = draft.blocks()
    assert block["kind"] == "result"
    assert Workspace().path_of("results", block["result"]).is_dir()
    assert filled.replace(":", "%3A") in block["address"]


def test_the_map_stands_and_a_card_offers_its_files(filled, monkeypatch):
    at = open_page("features", m=MODEL, d="mine", ft_mode="Map", u=filled)
    assert not at.error
    assert "largest variance" in text_of(at)
    labels = {button.label for button in at.get("download_button")}
    assert {"Card (HTML)", "Card (JSON)", "Examples (Parquet)", "Direction (safetensors)", "Direction (JSON)"} <= labels
    acts = {}
    monkeypatch.setattr("workbench_app.components.keys", lambda key, own, fields=None: acts.update(own))
    at.run()
    assert set(acts) == {"r", "s", "?"}
    assert not at.exception
