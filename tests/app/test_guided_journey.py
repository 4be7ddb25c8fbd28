"""The whole guided path, and a job that is cancelled on the way, in a browser, with nothing downloaded."""

import re

import pytest
from playwright.sync_api import expect

from .test_journeys import nodes_of
from .test_more_journeys import PROMPT, Tags, taken

pytestmark = pytest.mark.browser


def test_the_guided_path_from_a_prediction_to_an_exported_report(open_tab):
    watched = open_tab("/?m=planted-places")
    page = watched.page
    watched.load()
    page.get_by_role("link", name="Open Prompt").click()
    page.locator("textarea").fill(PROMPT)
    page.keyboard.press("Control+Enter")
    page.get_by_text("After position 13").wait_for()
    assert "cap-north-korea" in page.locator("button.row").first.inner_text()

    page.get_by_role("link", name="Features").click()
    page.get_by_text("of 24 units shown").wait_for()
    page.get_by_test_id("stDataFrame").first.click(position={"x": 18, "y": 52})
    page.wait_for_url(re.compile(r"[?&]u=transcoder"))
    page.get_by_placeholder("what it stands for").wait_for()

    page.get_by_role("link", name="Circuits").click()
    page.get_by_test_id("stMain").get_by_role("button", name="New graph").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_label("Prompt")).to_have_value(PROMPT)
    dialog.get_by_label("Name").fill("guided")
    dialog.get_by_label("Name").press("Enter")
    dialog.get_by_role("button", name="Start").click()
    page.get_by_role("dialog").wait_for(state="detached")
    page.locator(".st-key-ci_open_guided button").click()
    nodes_of(page)

    page.get_by_role("button", name="Run the tests").click()
    page.get_by_text("sign agrees in").wait_for()
    page.get_by_role("tab", name="Take along").click()
    page.get_by_role("button", name="Write the report").click()
    page.get_by_text("Written: ").wait_for()
    page.reload()
    report = taken(page, re.compile(r"^report.*\.html")).decode()
    assert "north korea" in report
    assert "script" not in Tags(report).found
    watched.check()


def test_a_cancelled_job_keeps_what_it_has(open_tab):
    watched = open_tab("/sparsity?m=planted-places")
    page = watched.page
    watched.load()
    main = page.get_by_test_id("stMain")
    tokens = main.get_by_label("Tokens")
    tokens.fill("1000000")
    tokens.press("Enter")
    main.get_by_role("button", name="Measure", exact=True).click()
    main.get_by_text(re.compile("sparsity of planted-places · profile")).wait_for()
    assert main.get_by_text("cancelled before it was through").count() == 0
    page.get_by_role("link", name="Home").click()  # the job does not mind
    page.get_by_role("heading", name="This machine").wait_for()
    cancel = page.get_by_test_id("stSidebar").get_by_role("button", name="Cancel")
    page.get_by_test_id("stSidebar").get_by_text(re.compile("profile .* left")).wait_for()  # something is counted
    cancel.click()
    cancel.wait_for(state="detached")
    page.get_by_role("link", name="Jobs").click()
    main.get_by_text("cancelled", exact=True).first.wait_for()
    page.get_by_test_id("stSidebarNavItems").get_by_role("link", name="Sparsity").click()
    page.wait_for_url(re.compile("/sparsity"))
    page.reload()
    main.get_by_text("cancelled before it was through").first.wait_for()  # it lies in the workspace
    watched.check()
