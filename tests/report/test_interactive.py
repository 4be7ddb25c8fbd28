"""The interactive page: everything inlined, nothing asked for, foreign text stays text; two reports compared."""

import json
import re
from dataclasses import replace

import pytest
import sample_study as study
from test_html import read

from workbench.report import (
    AgreeConfig,
    Group,
    GroupEdge,
    compare_reports,
    report_interactive,
    report_markdown,
    write_report,
)
from workbench.report.interactive import POLICY, script_data

SCRIPT = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def hostile(make_report, config):
    graph = study.graph()
    nodes = tuple(replace(node, label=SCRIPT) for node in graph.nodes)
    made = replace(graph, nodes=nodes, tokens=(SCRIPT, *graph.tokens[1:]), metric=SCRIPT)
    words = {"title": SCRIPT, "author": SCRIPT, "finding": SCRIPT, "command": SCRIPT}
    groups = (Group(name=SCRIPT, members=(graph.nodes[0].id,), rationale=SCRIPT),)
    edges = (GroupEdge(source=SCRIPT, target='x"]; click n0 href "http://x"', weight=-0.5),)
    told = config.model_copy(update={**words, "groups": groups})
    return make_report(told, graph=made, group_edges=edges)


def test_the_page_loads_nothing_and_holds_its_scripts(report):
    page = report_interactive(report)
    found = read(page)
    metas = [attributes for tag, attributes in found.attributes if tag == "meta"]
    assert {"http-equiv": "Content-Security-Policy", "content": POLICY} in metas
    assert not {"iframe", "object", "embed", "link", "form", "base"} & set(found.tags)
    for tag, attributes in found.attributes:
        assert "src" not in attributes, (tag, attributes)
        assert attributes.get("href", "#").startswith("#"), attributes
    assert page.count("plotly.js v") <= 2
    assert "sendChartToCloud" in page
    assert "https://chart-studio" not in page.split("Plotly.newPlot", 1)[1]


def test_a_script_in_a_prompt_stays_text_everywhere(hostile):
    page = report_interactive(hostile)
    assert SCRIPT not in page
    assert read(page).text.count("alert(1)") > 10
    outside_code = re.sub(r"(?ms)```.*?```|^ {4}[^\n]*$|`[^`\n]*`", "", report_markdown(hostile))
    assert [outside_code[at.start() - 60 :][:120] for at in re.finditer(r"(?<!\\)<script", outside_code)] == []


def test_nothing_ends_a_data_element():
    text = str(script_data("d", {"a": "</script><!--&"}))
    assert text.count("</script") == 1
    assert json.loads(text.split(">", 1)[1].rsplit("<", 1)[0]) == {"a": "</script><!--&"}


def test_every_table_and_picture_says_what_it_is(report):
    found = read(report_interactive(report))
    heads = [attributes for tag, attributes in found.attributes if tag == "th"]
    assert heads
    assert all(attributes.get("scope") == "col" for attributes in heads)
    pictures = [attributes for tag, attributes in found.attributes if tag == "svg"]
    assert pictures
    assert all(attributes.get("role") == "img" and attributes.get("aria-label") for attributes in pictures)


def test_markdown_draws_the_groups_as_mermaid(hostile):
    text = report_markdown(hostile)
    block = text.split("```mermaid\n")[1].split("```")[0]
    assert block.startswith("flowchart BT\n")
    assert block.count('"') == 6  # two names and one share: nothing inside closed its quotes
    assert "click n0 href" in block.replace("#34;", '"')
    assert not any(line.strip().startswith("click") for line in block.splitlines())


def test_a_report_agrees_with_itself(report, make_report, config):
    later = make_report(config.model_copy(update={"created": "2030-01-01T00:00:00+00:00"}))
    found = compare_reports(report, later)
    assert found.scalars["moved"] == found.scalars["largest_share"] == 0
    assert found.scalars["numbers"] > 100


def test_numbers_that_moved_are_named_with_their_share(report):
    nodes = report.block("nodes")
    largest = max(abs(node.effect) for node in nodes.nodes)
    first = nodes.nodes[0].model_copy(update={"effect": nodes.nodes[0].effect + 0.1 * largest, "label": "other"})
    changed = nodes.model_copy(update={"nodes": (first, *nodes.nodes[1:])})
    after = report.model_copy(update={"blocks": tuple(changed if b.kind == "nodes" else b for b in report.blocks)})
    rows = compare_reports(report, after).tables["moved"]
    assert {row["number"].rsplit(".", 1)[1] for row in rows} == {"effect", "label"}
    (moved,) = [row for row in rows if row["number"].endswith("effect")]
    assert moved["share"] == pytest.approx(0.1)
    assert len(compare_reports(report, after, AgreeConfig(tolerance=0.2)).tables["moved"]) == 1
    without = report.model_copy(update={"blocks": tuple(b for b in report.blocks if b.kind != "nodes")})
    assert compare_reports(report, without).scalars["moved"] > len(nodes.nodes)


@pytest.mark.browser
def test_the_page_works_under_its_policy_and_asks_for_nothing(hostile, tmp_path, browser):
    path = write_report(hostile, tmp_path / "mine", ("interactive",))["interactive"]
    page = browser.new_page()
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: said.append("dialog"))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    page.wait_for_selector(".js-plotly-plot .main-svg")
    page.eval_on_selector(
        ".wb-graph a", "node => node.dispatchEvent(new MouseEvent('click', {bubbles: true, cancelable: true}))"
    )
    assert page.locator(".panel .lists").count() == 1
    assert page.locator("button.sort").count() > 5
    page.keyboard.press("Escape")
    assert page.locator(".panel .lists").count() == 0
    page.close()
    assert said == []
    assert [url for url in asked if not url.startswith(("data:", "blob:"))] == [path.as_uri()]
