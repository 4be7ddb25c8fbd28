"""The guided path from end to end in a browser: no console error, nothing asked of another machine."""

import re
import zipfile

import pytest

pytestmark = pytest.mark.browser


def test_from_a_prediction_to_a_downloaded_graph_and_back_by_link(open_tab):
    watched = open_tab("/")
    page = watched.page
    page.get_by_role("heading", name="This machine").wait_for()
    assert page.locator(".js-plotly-plot").count() == 0
    load = page.get_by_test_id("stMain").get_by_role("button", name="Load planted-places", exact=True)
    unload = page.get_by_test_id("stMain").get_by_role("button", name="Unload planted-places")
    load.or_(unload).first.wait_for()
    if load.count():
        load.click()
    unload.wait_for()
    page.get_by_role("link", name="Open Prompt").click()

    page.locator("textarea").fill("the man from north korea saw a big dog and said the capital")
    page.keyboard.press("Control+Enter")
    page.get_by_text("After position 13").wait_for()
    best = page.locator("button.row").first
    assert "cap-north-korea" in best.inner_text()
    best.click()
    page.get_by_label("Follow a token").wait_for()
    page.get_by_test_id("stTabs").get_by_text("rank", exact=True).wait_for()
    page.locator(".flow .token").nth(5).click()
    page.wait_for_url(re.compile(r"[?&]t=5(&|$)"))
    address = page.url

    page.get_by_role("link", name="Circuits").click()
    page.get_by_test_id("stMain").get_by_role("button", name="Open").first.wait_for()
    page.get_by_placeholder("words of the prompt").fill("mary-john")
    page.get_by_text(re.compile(r"1 of \d+ graphs")).wait_for()
    page.get_by_test_id("stMain").get_by_role("button", name="Open").click()
    page.locator("g.node.feature").first.click()
    page.get_by_text("31 inputs").or_(page.get_by_text(re.compile(r"\d+ inputs?, percent"))).first.wait_for()
    page.locator(".js-plotly-plot").nth(1).wait_for()
    page.get_by_role("tab", name="Take along").click()
    with page.expect_download() as waiting:
        page.get_by_role("button", name=re.compile("Graph \\(our JSON")).click()
    archive = zipfile.ZipFile(waiting.value.path())
    assert "mary-john/graph.json" in archive.namelist()

    page.get_by_role("link", name="Home").click()
    page.get_by_role("heading", name="This machine").wait_for()
    page.goto(address)
    page.get_by_text("After position 5").wait_for()
    assert page.locator(".flow .token[aria-selected=true]").inner_text().endswith("korea")
    watched.check()
