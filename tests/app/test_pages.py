"""Every page by AppTest: empty workspace, something there, bad input, deep links. Components draw in a browser only."""

import shutil
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

import workbench_app
from workbench.core import ModelError, Silent, WorkbenchError
from workbench.workspace import Job, Workspace
from workbench_app import state
from workbench_app.focus import INLINE, Focus, prompt_id

from .samples import fill

MAIN = Path(workbench_app.__file__).with_name("main.py")
MODEL = "planted-places"
PROMPT = "the man from north korea saw a big dog and said the capital"


@pytest.fixture(autouse=True)
def fresh_caches():
    yield
    state.jobs().clear()


@pytest.fixture
def loaded():
    state.shelf().load(MODEL, Silent())
    yield MODEL
    state.shelf().unload(MODEL)


def open_page(name: str = "home", **query: str) -> AppTest:
    at = AppTest.from_file(str(MAIN), default_timeout=60)
    at.query_params.update(query)
    if name != "home":
        at.session_state["focus"] = Focus()
        at.run()
        at.query_params.update(query)
        at.switch_page(f"views/{name}.py")
    at.run()
    assert not at.exception
    return at


def wait_for(job: Job | None) -> None:
    assert job is not None
    with pytest.raises(WorkbenchError):
        job.result(timeout=60)


def text_of(at: AppTest) -> str:
    parts = [*at.markdown, *at.caption, *at.info, *at.warning, *at.error, *at.code, *at.title, *at.metric]
    return "\n".join(str(part.value).replace("\\", "") for part in parts)


@pytest.mark.parametrize("name", ["home", "prompt", "features", "circuits", "jobs", "settings"])
def test_every_page_stands_in_an_empty_workspace(name):
    at = open_page(name)
    assert at.title[0].value
    assert not at.error


def test_home_says_how_to_make_what_is_missing():
    text = text_of(open_page())
    assert "workbench demo --quick" in text
    assert "none yet: `workbench circuit trace`" in text


def test_home_counts_what_is_there():
    fill(Workspace().path)
    at = open_page()
    counts = {metric.label.split()[-1]: metric.value for metric in at.metric}
    assert counts["Graphs"] == "1"
    assert counts["Results"] == "4"
    assert [step.label for step in at.get("page_link")] == ["Open Circuits", "Open a validation"]


def test_circuits_offers_the_commands_when_there_is_no_graph():
    assert "workbench demo --quick" in text_of(open_page("circuits"))


def test_gallery_shows_cards_and_filters_them():
    fill(Workspace().path)
    at = open_page("circuits")
    assert "93 nodes (56 features)" in text_of(at)
    assert "validated" in text_of(at)
    at.text_input(key="ci_find").set_value("nothing like it").run()
    assert "0 of 1 graphs" in text_of(at)


def test_a_card_opens_its_graph_and_the_way_back_leads_out():
    fill(Workspace().path)
    at = open_page("circuits")
    at.button(key="ci_open_mary-john").click().run()
    assert not at.exception
    assert at.session_state["focus"].graph == "mary-john"
    assert "31 inputs" in text_of(at) or "logit, output" in text_of(at)
    at.button(key="ci_back").click().run()
    assert at.session_state["focus"].graph is None


def test_a_link_opens_a_graph_by_hash_with_a_node_selected():
    graph = fill(Workspace().path)
    node = next(node for node in graph.nodes if node.kind == "feature")
    at = open_page("circuits", ci=graph.manifest.content_hash[:12], ci_sel=node.id)
    assert "L0 feature 0: she her" in text_of(at)
    assert at.session_state["focus"].node == node.id


def test_a_link_to_what_is_not_there_is_told_and_the_page_stays():
    graph = fill(Workspace().path)
    at = open_page("circuits", ci="mary-jon")
    assert "did you mean mary-john" in text_of(at)
    at = open_page("circuits", ci=graph.manifest.content_hash, ci_sel="feature:99:0:0")
    assert "not in this graph" in at.warning[0].value


def test_a_damaged_graph_is_one_sentence_on_its_card():
    fill(Workspace().path)
    (Workspace().path / "graphs" / "mary-john" / "manifest.json").write_text("{")
    at = open_page("circuits")
    assert len(at.error) == 1
    assert "Traceback" not in at.error[0].value


def test_validation_tells_how_to_get_one():
    fill(Workspace().path)
    shutil.rmtree(Workspace().path / "results")
    at = open_page("circuits", ci="mary-john")
    assert "workbench circuit validate mary-john" in text_of(at)


def test_prompt_offers_to_load_a_model_and_loads_it():
    at = open_page("prompt", m=MODEL)
    button = next(button for button in at.button if button.label == f"Load {MODEL}")
    button.click().run()
    assert not at.exception
    job = state.loading(MODEL)
    assert job is not None
    assert job.result(timeout=60) == MODEL
    at.run()
    assert f"Load {MODEL}" not in [button.label for button in at.button]
    assert "Type a prompt" in at.info[0].value
    state.shelf().unload(MODEL)


def test_a_model_that_cannot_be_loaded_is_one_sentence():
    at = open_page("prompt", m="planted-place")
    next(button for button in at.button if button.label == "Load planted-place").click().run()
    wait_for(state.loading("planted-place"))
    at.run()
    assert "did you mean planted-places" in at.error[0].value.replace("\\", "")


def test_a_link_opens_a_prompt_at_a_position(loaded):
    at = open_page("prompt", m=loaded, q=PROMPT, t="5")
    assert at.session_state["focus"] == Focus(model=loaded, prompt=PROMPT, position=5)
    assert [tab.label for tab in at.tabs] == ["Next token", "Logit lens", "Attention", "Residual", "Features", "Patch"]
    assert not at.error


def test_dials_reshape_without_a_new_pass(loaded, monkeypatch):
    at = open_page("prompt", m=loaded, q=PROMPT)
    monkeypatch.setattr(state.Shelf, "run", lambda *_: pytest.fail("a pass was made"))
    at.slider(key="pr_temperature").set_value(2.0).run()
    at.slider(key="pr_k").set_value(3).run()
    assert not at.error
    assert "reshaped" in text_of(at)


def test_a_followed_token_has_rank_logit_and_probability(loaded):
    at = open_page("prompt", m=loaded, q=PROMPT)
    at.text_input(key="pr_target").set_value("cap-north-korea").run()
    values = {metric.label: metric.value for metric in at.metric}
    assert values["rank"] == "1"
    assert values["probability"].endswith("%")


def test_only_the_open_tab_computes(loaded, monkeypatch):
    calls = []
    for name in ("lens", "attention"):
        made = getattr(state.Shelf, name)
        monkeypatch.setattr(state.Shelf, name, lambda *a, made=made, name=name: calls.append(name) or made(*a))
    state.forget_passes()
    open_page("prompt", m=loaded, q=PROMPT)
    assert calls == []
    at = open_page("prompt", m=loaded, q=PROMPT, pr_tab="Logit lens")
    assert calls == ["lens"]
    assert not at.error
    at = open_page("prompt", m=loaded, q=PROMPT, pr_tab="Attention")
    assert calls == ["lens", "attention"]
    assert not at.error
    assert at.selectbox(key="pr_rank").value == "previous_token"


def test_an_overlong_prompt_is_refused_in_one_sentence(loaded):
    at = open_page("prompt", m=loaded, q="the man " * 30)
    assert len(at.error) == 1
    assert "Traceback" not in at.error[0].value


def test_a_long_prompt_is_found_by_its_id_and_a_stale_id_is_told(loaded):
    text = "the man and " * INLINE
    state.database().save_view(f"prompt-{prompt_id(text)}", "prompt", {"text": text})
    assert open_page("prompt", m=loaded, p=prompt_id(text)).session_state["focus"].prompt == text
    at = open_page("prompt", m=loaded, p="000000000000")
    assert "not in this workspace" in at.warning[0].value


def test_a_broken_panel_does_not_take_the_page_along(loaded, monkeypatch):
    def broken(*_):
        raise RuntimeError("boom")

    monkeypatch.setattr(state.Shelf, "lens", broken)
    state.forget_passes()
    at = open_page("prompt", m=loaded, q=PROMPT, pr_tab="Logit lens")
    assert "RuntimeError: boom" in at.error[0].value.replace("\\", "")
    assert at.tabs


def test_jobs_show_what_failed():
    def fails(_):
        raise ModelError("the disk is full", hint="free some space")

    job = state.jobs().submit("capture", fails, command="workbench capture")
    wait_for(job)
    at = open_page("jobs")
    assert "the disk is full; free some space" in at.error[0].value.replace("\\", "")
    assert "workbench capture" in text_of(at)


def test_a_failed_job_is_retried_from_the_list_and_leads_to_its_page():
    calls = []

    def work(progress):
        calls.append(1)
        progress.phase("writing")
        if len(calls) == 1:
            raise ModelError("the disk is full")
        return "value"

    job = state.jobs().submit("capture", work, page="runs")
    wait_for(job)
    at = open_page("jobs")
    assert [link.label for link in at.get("page_link")] == ["Open Runs"]
    assert "failed: the disk is full" in at.code[-1].value
    at.button(key=f"jobs_retry_{job.id}").click().run()
    assert not at.exception
    again = state.jobs().jobs()[0]
    assert again.result(timeout=60) == "value"
    assert again is not job
    at.run()
    assert [button.key for button in at.button if str(button.key).startswith("jobs_retry")] == [f"jobs_retry_{job.id}"]


@pytest.mark.parametrize("name", ["circuits", "runs"])
def test_the_keys_of_a_page_are_told(name):
    at = open_page(name)
    at.button(key="shell_shortcuts").click().run()
    assert not at.exception
    text = text_of(at)
    assert "this list" in text
    assert text.index("undo, redo") < text.index("move along the tokens") or name == "runs"
    assert "shortcuts" not in at.session_state
