"""Journeys in a browser: groups and views, two people at once, hostile files, reports, a server that is killed."""

import json
import re
import signal
from typing import Any

import pytest

from workbench.exchange import GraphFile, write_graph
from workbench_app.serve import running

from .conftest import Watched, _watch
from .samples import fill, sample_graph

pytestmark = pytest.mark.browser
HOSTILE = "</span><script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>\u202e"


def nodes_of(page):
    page.locator("g.node.feature").first.wait_for()
    return page.locator("g.node.feature")


def test_nodes_are_grouped_renamed_undone_and_found_again_by_link(open_tab):
    watched = open_tab("/circuits?ci=mary-john")
    page = watched.page
    nodes = nodes_of(page)
    page.wait_for_timeout(800)
    nodes.nth(0).click(modifiers=["Shift"])
    nodes.nth(4).click(modifiers=["Shift"])
    page.get_by_text("2 in the box").wait_for()
    page.locator(".box[role=application]").press("g")
    page.locator("input.namer").fill("pronouns <b>")
    page.keyboard.press("Enter")
    page.locator("g.node.grouped").nth(1).wait_for()
    page.get_by_role("button", name="Subgraph").click()
    page.locator("g.item.super", has_text="pronouns <b> ×2").wait_for()
    page.locator("g.item.super").dblclick()
    page.locator("input.namer").fill("names")
    page.keyboard.press("Enter")
    page.locator("g.item.super", has_text="names ×2").wait_for()
    page.locator(".box[role=application]").press("Control+z")
    page.locator("g.item.super", has_text="pronouns <b> ×2").wait_for()
    page.locator(".box[role=application]").press("Control+Shift+Z")
    page.locator("g.item.super", has_text="names ×2").wait_for()
    page.wait_for_timeout(800)
    page.reload()
    page.locator("g.node.grouped").nth(1).wait_for()
    page.locator("g.node.grouped").first.click()
    page.locator(".box[role=application]").press("u")
    page.locator("g.node.grouped").first.wait_for(state="detached")
    page.wait_for_timeout(500)
    pinned = page.locator("g.node.pinned")
    for left in range(pinned.count(), 0, -1):
        pinned.first.click(modifiers=["Control"])
        pinned.nth(left - 1).wait_for(state="detached")
    watched.check()


def test_two_people_do_not_see_each_others_places(open_tab):
    one, two = open_tab("/circuits?ci=mary-john"), open_tab("/circuits?ci=mary-john")
    nodes_of(two.page)
    nodes_of(one.page)
    one.page.wait_for_timeout(1500)
    one.received.clear()
    one.page.locator("g.node.feature").first.click()
    one.page.wait_for_url(re.compile("ci_sel=feature"))
    two.page.wait_for_timeout(1500)
    print(f"a click on a node received {sum(one.received)} bytes")
    assert sum(one.received) < 30_000
    assert two.page.locator("g.node.selected").count() == 0
    assert "ci_sel" not in two.page.url
    one.check()
    two.check()


def test_a_hostile_file_is_taken_in_and_stays_text(open_tab, tmp_path):
    graph = sample_graph(tokens=("<bos>", HOSTILE, "\x07\x1b[31m", "x" * 100_000))
    ids = tuple(node.id for node in graph.nodes if node.kind == "feature")[:2]
    path = write_graph(GraphFile(graph, "g", ids, ((HOSTILE, ids),)), tmp_path / "hostile graph.json")
    watched = open_tab("/circuits")
    page = watched.page
    page.get_by_test_id("stMain").get_by_role("button", name="Import", exact=True).click()
    page.locator("input[type=file]").set_input_files(path)
    page.locator("g.node.grouped").nth(1).wait_for()
    page.get_by_role("button", name="Subgraph").click()
    page.locator("g.item.super").hover()
    page.get_by_role("tab", name="Take along").click()
    with page.expect_download() as waiting:
        page.get_by_role("button", name="circuit-tracer JSON").click()
    told = json.loads(waiting.value.path().read_text())
    assert told["metadata"]["prompt_tokens"][1] == HOSTILE
    assert page.evaluate("window.hacked") is None
    watched.check()


def test_a_circuit_goes_into_a_report_and_out_as_a_file(open_tab):
    watched = open_tab("/circuits?ci=mary-john")
    page = watched.page
    nodes_of(page)
    with page.expect_download() as waiting:
        page.get_by_role("button", name="PNG", exact=True).click()
    assert waiting.value.path().read_bytes().startswith(b"\x89PNG")
    page.get_by_role("button", name="Add to report").click()
    page.get_by_text("Added to the report draft").wait_for()
    page.get_by_role("link", name="Reports").click()
    page.get_by_role("tab", name="Draft").click()
    frame = page.frame_locator("iframe").first
    frame.get_by_role("heading", name="Circuit mary-john").wait_for()
    with page.expect_download() as waiting:
        page.get_by_role("button", name="HTML", exact=True).click()
    text = waiting.value.path().read_text()
    assert "<svg" in text
    assert "<script" not in text
    watched.check()


def test_a_server_that_is_killed_loses_nothing(browser, tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "cache"))
    fill(tmp_path / "workspace")
    for turn in range(2):
        with running(tmp_path / "workspace", "planted-places") as server:
            context = browser.new_context(viewport={"width": 1400, "height": 1000})
            context.set_default_timeout(60_000)
            watched = Watched(context.new_page(), server.url)
            _watch(watched)
            page: Any = watched.page
            page.goto(f"{server.url}/circuits?ci=mary-john")
            nodes = nodes_of(page)
            if turn == 0:
                page.wait_for_timeout(800)
                nodes.nth(2).click(modifiers=["Control"])
                page.locator("g.node.pinned").wait_for()
                nodes.nth(2).click()
                page.wait_for_url(re.compile("ci_sel=feature"))
                page.get_by_role("tab", name="Label").click()
                box = page.get_by_label("Label of this unit, wherever it occurs")
                box.fill("what I call it")
                box.press("Enter")
                page.get_by_text("what I call it").first.wait_for()
                page.wait_for_timeout(800)
                server.process.send_signal(signal.SIGKILL)
            else:
                page.locator("g.node.pinned").wait_for()
                page.locator("g.node.pinned").hover()
                page.locator(".tip:visible").get_by_text("what I call it").wait_for()
            context.close()
