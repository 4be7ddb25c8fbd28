from dataclasses import replace
from html.parser import HTMLParser

import pytest
import sample_study as study

from workbench.report import Report, report_html
from workbench.report.html import POLICY

VOID = {"meta", "br", "wbr", "img", "hr", "input", "link"}


class Reader(HTMLParser):
    """Collects tags, texts and attributes, and checks that elements close in order."""

    def __init__(self) -> None:
        super().__init__()
        self.tags, self.attributes, self.open, self.parts = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.parts.append(data)

    @property
    def text(self) -> str:
        return "".join(self.parts)


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    return reader


@pytest.fixture(scope="module")
def page(report):
    return report_html(report)


def test_the_page_is_whole_small_and_without_script(page):
    found = read(page)
    assert len(page.encode()) <= 500_000
    assert not {"script", "iframe", "object", "embed", "link", "img", "form", "base"} & set(found.tags)
    for tag, attributes in found.attributes:
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
        assert attributes.get("href", "#").startswith("#"), attributes
        assert "src" not in attributes


def test_the_policy_allows_nothing_but_style(page):
    metas = [attributes for tag, attributes in read(page).attributes if tag == "meta"]
    assert {"http-equiv": "Content-Security-Policy", "content": POLICY} in metas
    assert POLICY == "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    assert "url(" not in page.replace("url(#", "")
    assert "@import" not in page


def test_every_link_leads_somewhere_and_no_id_is_used_twice(page):
    found = read(page).attributes
    ids = [attributes["id"] for _, attributes in found if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = {attributes["href"][1:] for tag, attributes in found if tag == "a"}
    assert links
    assert links <= set(ids)


def test_the_numbers_of_the_headline_are_on_the_page(page):
    text = read(page).text
    for part in ("1.78", "2.28", "untrained features", "CC BY-SA 3.0", "Q4_1", "✗", "workbench demo"):
        assert part in text


def test_hostile_text_stays_text_everywhere(make_report, config):
    graph = study.graph()
    nodes = tuple(replace(node, label=study.HOSTILE) for node in graph.nodes)
    tokens = (study.HOSTILE, *graph.tokens[1:])
    words = {"title": study.HOSTILE, "author": study.HOSTILE, "notes": study.HOSTILE, "finding": study.HOSTILE}
    config = config.model_copy(update={**words, "command": study.HOSTILE, "python": study.HOSTILE})
    made = make_report(config, graph=replace(graph, nodes=nodes, tokens=tokens, metric=study.HOSTILE))
    found = read(report_html(made))
    assert not {"script", "img"} & set(found.tags)
    assert found.text.count("</script><script>") > 20


def test_the_page_adapts_to_dark_and_to_paper(page):
    assert "prefers-color-scheme:dark" in page
    assert "@media print" in page


def test_the_same_report_gives_the_same_page(report, page, make_report):
    assert report_html(make_report()) == page


def test_reports_with_few_blocks_can_be_shown():
    from workbench.report import ReportConfig, circuit_report

    bare = circuit_report(study.graph(), config=ReportConfig(created="2026-01-02T03:04:05+00:00"))
    assert "hypothesis" in read(report_html(bare)).text
    assert read(report_html(Report(blocks=()))).tags
