"""The reports page by AppTest: empty, a draft of everything, broken blocks, a finished report, a stale address."""

import shutil

import pytest

from workbench.core import Result, Silent
from workbench.report import FORMATS, NoteBlock, read_report
from workbench.workspace import Workspace
from workbench_app import draft, state

from .samples import fill
from .test_pages import open_page, text_of

HOSTILE = "</span><script>alert(1)</script>\u202e\x07"


def fill_draft() -> None:
    fill(Workspace().path)
    result = Result("validation", {"metric_value": 1.0}, {"t": [{"a": HOSTILE, "b": 1.0}]}, notes=(HOSTILE,))
    draft.add(HOSTILE, address="http://127.0.0.1/x", python="x = 1", result=result)
    draft.add("a circuit", address="", python="", graph="mary-john")
    draft.write("text", "words", f"first\n\n{HOSTILE}")
    draft.write("environment", "Environment")


def test_an_empty_workspace_says_how_to_make_one():
    assert "workbench circuit report" in text_of(open_page("reports"))
    assert "Nothing was added yet" in text_of(open_page("reports", re_list="Draft"))


def test_a_draft_leaves_in_every_form_and_is_inert():
    fill_draft()
    at = open_page("reports", re_list="Draft")
    assert not at.error
    made = draft.report(draft.blocks(), {**draft.words(), "title": HOSTILE})
    assert [block.kind for block in made.blocks] == ["header", "note", "note", "note", "note"]
    for name in ("html", "interactive", "json"):
        assert b"<script>alert" not in FORMATS[name][1](made) or name == "json"


def test_blocks_are_kept_in_the_workspace_and_edited():
    fill_draft()
    at = open_page("reports", re_list="Draft")
    at.text_input(key="re_title").set_value("What I found").run()
    assert draft.words()["title"] == "What I found"
    assert len(draft.blocks()) == 4
    at.button(key="re_keep").click().run()
    assert not at.error
    report = read_report(Workspace().path_of("reports", "report"))
    assert report.block("header").title == "What I found"
    assert at.session_state["focus"].report == "report"


def test_a_block_whose_result_is_gone_says_so_and_the_rest_stays():
    fill_draft()
    shutil.rmtree(next(Workspace().folder("results").glob("added-*")))
    at = open_page("reports", re_list="Draft")
    assert "cannot be shown" in text_of(at)
    assert not at.error


def test_a_finished_report_opens_by_link_and_a_stale_one_turns_amber():
    fill_draft()
    open_page("reports", re_list="Draft").button(key="re_keep").click().run()
    at = open_page("reports", re="report")
    assert not at.error
    assert "by hand" in text_of(open_page("reports", re="report", re_tab="Run again"))
    for stale in ("gone", "../graphs/mary-john", "../../etc"):
        assert "not in this workspace" in open_page("reports", re=stale).warning[0].value


@pytest.mark.parametrize("name", ["report.json", "manifest.json"])
def test_a_damaged_report_is_one_sentence(name):
    fill_draft()
    open_page("reports", re_list="Draft").button(key="re_keep").click().run()
    (Workspace().path_of("reports", "report") / name).write_text("{")
    at = open_page("reports", re="report")
    assert len(at.error) == 1


def test_tokens_of_a_prompt_come_into_the_draft_and_are_coloured_otherwise():
    at = open_page("reports", re_list="Draft")
    assert "Load a model first" in text_of(at)
    state.shelf().load("planted-places", Silent())
    at = open_page("reports", re_list="Draft")
    at.text_area(key="re_strip_text").set_value("the man saw a dog")
    at.button(key="re_strip_add").click().run()
    assert not at.error
    (block,) = draft.blocks()
    assert block["strip"] == "surprise"
    note = draft.report([block], draft.words()).blocks[1]
    assert isinstance(note, NoteBlock)
    assert note.tokens[:3] == ("<bos>", "the", " man")
    assert len(note.values) == len(note.tokens)
    at.run()
    at.selectbox(key=f"re_strip_{block['id']}").set_value("entropy").run()
    assert draft.blocks()[0]["strip"] == "entropy"
    state.shelf().unload("planted-places")


def test_the_strip_of_the_prompt_page_comes_into_the_draft():
    state.shelf().load("planted-places", Silent())
    at = open_page("prompt", m="planted-places", q="the man from north korea")
    at.button(key="pr_tokens_to_report").click().run()
    assert not at.error
    assert [block["strip"] for block in draft.blocks()] == ["surprise"]
    state.shelf().unload("planted-places")
