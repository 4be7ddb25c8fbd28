"""More journeys in a browser: downloads of every kind, back and forward, hostile words on every page."""

import csv
import io
import json
import re
import xml.etree.ElementTree as ET
import zipfile
from html.parser import HTMLParser
from urllib.parse import quote

import pytest

from .test_journeys import HOSTILE, nodes_of

pytestmark = pytest.mark.browser
PROMPT = "the man from north korea saw a big dog and said the capital"


def taken(page, name: str | re.Pattern[str]) -> bytes:
    """What a download button gives."""
    with page.expect_download() as waiting:
        page.get_by_test_id("stMain").get_by_role("button", name=name).click()
    return waiting.value.path().read_bytes()


class Tags(HTMLParser):
    """The elements of a page that could do something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs) -> None:
        self.found += [tag, *(name for name, _ in attrs if name.startswith("on"))]


def test_every_download_of_a_graph_opens(open_tab):
    watched = open_tab("/circuits?ci=mary-john&ci_tab=Take+along")
    page = watched.page
    nodes_of(page)
    archive = zipfile.ZipFile(io.BytesIO(taken(page, re.compile("our JSON"))))
    assert archive.testzip() is None
    told = json.loads(taken(page, "circuit-tracer JSON"))
    assert {"metadata", "qParams", "nodes", "links"} <= set(told)
    assert ET.fromstring(taken(page, "GraphML")).tag.endswith("graphml")
    drawn = ET.fromstring(taken(page, "Picture (SVG)"))
    assert not [part for part in drawn.iter() if part.tag.endswith("script")]
    nodes = list(csv.DictReader(io.StringIO(taken(page, "Nodes (CSV)").decode())))
    edges = list(csv.DictReader(io.StringIO(taken(page, "Edges (CSV)").decode())))
    assert len(nodes) == 93
    assert {"source", "target", "weight"} <= set(edges[0])
    assert isinstance(json.loads(taken(page, "This view (JSON)"))["pins"], list)
    watched.check()


def at_rest(page):
    """Wait until the page has run and the browser has noted its address."""
    page.wait_for_function("!document.querySelector('[data-test-script-state=running]')")
    page.wait_for_timeout(500)


def test_back_and_forward_lead_to_what_was_looked_at(open_tab):
    watched = open_tab(f"/prompt?m=planted-places&q={quote(PROMPT)}&t=5")
    page = watched.page
    watched.load()
    places = page.get_by_test_id("stSidebarNavItems")
    page.get_by_text("After position 5").wait_for()
    places.get_by_role("link", name="Circuits").click()
    page.get_by_test_id("stMain").get_by_role("button", name="New graph").wait_for()
    at_rest(page)
    places.get_by_role("link", name="Jobs").click()
    page.get_by_role("heading", name="Jobs", level=1).wait_for()
    at_rest(page)
    page.go_back()
    page.get_by_test_id("stMain").get_by_role("button", name="New graph").wait_for()
    at_rest(page)
    page.go_back()
    page.get_by_text("After position 5").wait_for()
    at_rest(page)
    assert page.locator(".flow .token[aria-selected=true]").inner_text().endswith("korea")
    page.go_forward()
    page.get_by_test_id("stMain").get_by_role("button", name="New graph").wait_for()
    watched.check()


def test_hostile_words_are_inert_on_every_page(open_tab):
    words = quote(HOSTILE + "\x07\x1b[31m")
    watched = open_tab(f"/prompt?m=planted-places&q={words}&t={words}")
    page = watched.page
    watched.load()
    page.locator(".flow .token, [data-testid=stAlert]").first.wait_for()
    page.get_by_role("button", name="Add to report").click()
    page.get_by_text(re.compile("Added to the report draft|knows no word")).first.wait_for()
    for name in ("features", "codebooks", "circuits", "bigrams", "sparsity", "probes", "runs", "reports", "jobs"):
        more = "".join(f"&{key}={words}" for key in ("d", "u", "ci", "ci_sel", "v", "bg_mask", "pb", "ru", "re"))
        page.goto(f"{watched.url}/{name}?m=planted-places{more}")
        page.wait_for_function("document.querySelector('h1') && document.querySelector('[data-testid=stMain]')")
        page.wait_for_function("!document.querySelector('[data-test-script-state=running]')")
        assert page.evaluate("window.hacked") is None
        assert page.locator("img[src=x]").count() == 0
    watched.check()
