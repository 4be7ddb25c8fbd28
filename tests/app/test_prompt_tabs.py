"""The Residual and Patch tabs of the Prompt page, and what the page hands out."""

import io
import shlex
from urllib.parse import parse_qsl

import numpy as np
import pandas as pd
import pytest

from workbench.core import Result, Silent
from workbench.recipes import PatchPromptsConfig, patch_prompts_by_name, patching_name
from workbench.workspace import Workspace
from workbench_app import draft, state
from workbench_app.analysis import reshape
from workbench_app.panels import patching, prediction, sample, token_pair

from .test_pages import MODEL, PROMPT, open_page, text_of
from .units import fill_units

CORRUPTED = "the man from south korea saw a big dog and said the capital"


@pytest.fixture(scope="module")
def loaded():
    state.shelf().load(MODEL, Silent())
    yield MODEL
    state.shelf().unload(MODEL)


def test_a_pair_is_the_likeliest_token_against_what_is_expected_instead():
    logits = np.array([0.0, 3.0, 2.0, 1.0])
    assert token_pair.likeliest(logits) == (1, 2)
    assert token_pair.likeliest(logits, np.array([0, 0, 0, 9.0])) == (1, 3)
    assert token_pair.likeliest(logits, logits) == (1, 2)


def test_the_residual_tab_splits_the_difference_of_a_pair(loaded):
    at = open_page("prompt", m=loaded, q=PROMPT, pr_tab="Residual")
    assert not at.error
    assert "cap-north-korea" in text_of(at)
    at.text_input(key="pr_foil").set_value("cap-south-korea").run()
    assert not at.error
    assert "'cap-north-korea' has" in text_of(at)
    assert "logits more than 'cap-south-korea'" in text_of(at)
    at.segmented_control(key="pr_stream").set_value("cosine").run()
    assert not at.error
    at.text_input(key="pr_foil").set_value("cap-north-korea").run()
    assert "logits more than 'cap-north-korea'" not in text_of(at)
    at.text_input(key="pr_foil").set_value("no such word").run()
    assert len(at.error) == 1


def test_what_is_added_to_the_report_is_what_the_tab_shows(loaded):
    at = open_page("prompt", m=loaded, q=PROMPT, pr_tab="Residual")
    at.button(key="add_to_report").click().run()
    assert draft.result_of(draft.blocks()[-1]).kind == "direct_effects"


def test_patching_asks_for_a_twin_and_refuses_what_does_not_fit(loaded):
    at = open_page("prompt", m=loaded, q=PROMPT, pr_tab="Patch")
    assert "Both prompts run" in text_of(at)
    at.text_input(key="pr_corrupted").set_value(PROMPT + " and").run()
    assert "both prompts need as many tokens" in at.error[0].value
    at.text_input(key="pr_corrupted").set_value(PROMPT).run()
    assert "is the prompt itself" in at.error[0].value


@pytest.mark.parametrize("site", ["resid_pre", "heads"])
def test_patching_runs_as_a_job_and_draws_a_map(loaded, site):
    at = open_page("prompt", m=loaded, q=PROMPT, pr_tab="Patch", pr_corrupted=CORRUPTED)
    at.selectbox(key="pr_patch_site").set_value(site).run()
    next(button for button in at.button if button.label == "Patch").click().run()
    job = next(job for job in state.jobs().jobs() if job.name == f"patching the {patching.SITES[site]}")
    result = job.result(timeout=60)
    at.run()
    assert not at.error
    assert not at.exception
    ids, other = (state.shelf().encode(loaded, text, None) for text in (PROMPT, CORRUPTED))
    if site == "heads":
        values, columns = patching.heads(result)
        assert columns[-1] == "MLP"
    else:
        values, columns = patching.positions(result, loaded, ids, other)
        assert [column.replace(" ", "") for column in columns if "|" in column] == ["north|south"]
    assert values.shape == (state.shelf().get(loaded).shape.n_layers, len(columns))
    assert np.nanmax(values) > 0.5
    saved = Result.load(Workspace().path_of("results", patching_name(result)))
    assert (saved.id, saved.params["prompt"]) == (result.id, PROMPT)
    at.button(key="add_to_report").click().run()
    assert draft.result_of(draft.blocks()[-1]).id == result.id
    links = [link.proto for link in open_page("jobs").get("page_link") if link.proto.label == "Open result"]
    asked = dict(parse_qsl(links[0].query_string))
    assert (asked["q"], asked["pr_corrupted"], asked["pr_tab"]) == (PROMPT, CORRUPTED, "Patch")
    if site == "heads":
        return
    words = shlex.split(job.command)[2:]
    target, foil = (words[words.index(flag) + 1] for flag in ("--target", "--foil"))
    again = patch_prompts_by_name(
        Workspace(), words[1], words[2], loaded, PatchPromptsConfig(site=site), target=target, foil=foil,
        bos="--bos" in words,
    )  # fmt: skip
    assert again.tables == result.tables


@pytest.mark.parametrize("tab", ["Residual", "Patch"])
def test_a_comparison_has_no_such_tab_and_stands(loaded, tab):
    at = open_page("prompt", m=loaded, q=PROMPT, q2=CORRUPTED, pr_tab=tab)
    assert not at.error


@pytest.mark.parametrize("tab", ["Next token", "Residual"])
def test_a_prediction_is_explained_on_the_circuits_page(loaded, tab):
    fill_units(state.workspace().path, scanned=False)
    at = open_page("prompt", m=loaded, q=PROMPT, pr_tab=tab, pr_foil="cap-south-korea", t="5")
    link = next(link.proto for link in at.get("page_link") if link.proto.label == "Explain this prediction")
    asked = dict(parse_qsl(link.query_string))
    assert asked["ci_prompt"] == "the man from north korea"

    at = open_page("circuits", **asked)
    assert at.text_area(key="ci_new_prompt").value == "the man from north korea"
    assert at.selectbox(key="ci_new_first").value == asked["ci_target"]
    assert at.selectbox(key="ci_new_second").value == asked["ci_foil"]
    assert asked["ci_foil"] == "cap-south-korea" or tab == "Next token"
    assert not at.warning
    assert not at.error
    assert "ci_prompt" not in at.query_params


def test_every_next_token_leaves_as_a_row(loaded):
    ids = state.shelf().encode(loaded, PROMPT, None)
    logits = state.prompt_pass(loaded, ids).logits[-1]
    table = pd.read_csv(io.StringIO(prediction.as_csv(loaded, logits, reshape(logits, top_k=1))), keep_default_na=False)
    assert len(table) == len(logits)
    assert table["token"].tolist()[0] == "cap-north-korea"
    assert sum(table["probability"].tolist()) == pytest.approx(1)
    assert table["drawn"].tolist()[:2] == [1, 0]
    assert open_page("prompt", m=loaded, q=PROMPT).get("download_button")


def test_random_draws_passages_of_the_text_that_suits_the_model(loaded):
    at = open_page("prompt", m=loaded)
    drawn = []
    for _ in range(2):
        at.button(key="pr_random").click().run()
        assert not at.error
        drawn.append(at.session_state["focus"].prompt)
    assert len(set(drawn)) == 2
    assert all(text in sample.passages("synthetic-places") for text in drawn)


def test_a_text_that_cannot_be_had_is_told(loaded, monkeypatch):
    monkeypatch.setattr(sample, "default_text", lambda _: "no-such-text")
    at = open_page("prompt", m=loaded, q=PROMPT)
    at.button(key="pr_random").click().run()
    assert "unknown text" in at.warning[0].value.replace("\\", "")
    assert at.session_state["focus"].prompt == PROMPT


def test_the_chat_template_goes_around_the_prompt_and_off_again(loaded, monkeypatch):
    at = open_page("prompt", m=loaded, q="man")
    assert "pr_chat" not in [toggle.key for toggle in at.toggle]
    template = "{% for turn in messages %}the {{ turn.content }} and{% endfor %}"
    monkeypatch.setattr(state.shelf().get(loaded).tokenizer.fast, "chat_template", template)
    at.run()
    at.toggle(key="pr_chat").set_value(True).run()
    assert at.session_state["focus"].prompt == "the man and"
    assert at.toggle(key="pr_chat").value
    at.toggle(key="pr_chat").set_value(False).run()
    assert at.session_state["focus"].prompt == "man"
    assert not at.toggle(key="pr_chat").value
    assert not at.error
