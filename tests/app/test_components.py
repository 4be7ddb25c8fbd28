"""The browser components, each where it is used."""

import re

import pytest

pytestmark = pytest.mark.browser
PROMPT = "/prompt?m=planted-places&q=the+man+from+north+korea+saw+a+big+dog+and+said+the+capital"


def load(watched) -> None:
    """Load the model if this server has not loaded it yet."""
    button = watched.page.get_by_role("button", name="Load planted-places", exact=True)
    button.or_(watched.page.locator("textarea")).first.wait_for()
    if button.count():
        button.click()
    watched.page.locator("textarea").wait_for()


@pytest.fixture
def prompt(open_tab):
    watched = open_tab(PROMPT)
    load(watched)
    watched.page.locator(".flow .token").nth(13).wait_for()
    return watched


def test_a_click_on_a_token_selects_it_and_costs_little(prompt):
    page = prompt.page
    page.wait_for_timeout(1500)
    prompt.received.clear()
    page.locator(".flow .token").nth(4).click()
    page.wait_for_url(re.compile(r"[?&]t=4(&|$)"))
    page.get_by_text("After position 4").wait_for()
    assert page.locator(".flow .token[aria-selected=true]").inner_text().endswith("north")
    print(f"a click received {sum(prompt.received)} bytes")
    assert sum(prompt.received) < 30_000
    prompt.check()


def test_hovering_asks_nothing_of_the_server(prompt):
    page = prompt.page
    page.wait_for_timeout(1500)
    prompt.sent.clear()
    page.locator(".flow .token").nth(5).hover()
    tip = page.locator(".tip:visible")
    tip.wait_for()
    assert "korea" in tip.inner_text()
    assert "most likely after it" in tip.inner_text()
    page.locator(".flow .token").nth(7).hover()
    assert prompt.sent == []
    prompt.check()


def test_the_keyboard_moves_and_selects(prompt):
    page = prompt.page
    page.locator(".flow .token").nth(13).focus()
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"[?&]t=10(&|$)"))
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"[?&]t=0(&|$)"))
    prompt.check()


def test_a_draft_is_tokenised_while_it_is_typed_and_run_by_the_keyboard(prompt):
    page = prompt.page
    page.locator("textarea").fill("a small cat went")
    page.get_by_text("5 tokens", exact=True).wait_for()
    assert page.locator(".preview .piece").count() == 5
    assert page.locator(".flow .token").count() == 14
    page.keyboard.press("Control+Enter")
    page.locator(".flow .token").nth(5).wait_for(state="detached")
    page.wait_for_url(re.compile("q=a\\+small\\+cat\\+went"))
    prompt.check()


def test_a_cell_of_the_lens_selects_layer_and_position(prompt):
    page = prompt.page
    page.get_by_role("tab", name="Logit lens").click()
    canvas = page.locator(".scroll canvas")
    canvas.wait_for()
    page.wait_for_timeout(500)
    canvas.click(position={"x": 40 + 62 * 5 + 20, "y": 22 + 21 + 10})
    page.wait_for_url(re.compile(r"pr_l=0.*t=5|t=5.*pr_l=0"))
    page.get_by_text("After layer 0, position 5").wait_for()
    assert page.locator(".flow .token[aria-selected=true]").inner_text().endswith("korea")
    prompt.check()


def test_a_cell_of_the_grid_opens_the_large_map_and_survives_a_change_of_tab(prompt):
    page = prompt.page
    page.get_by_role("tab", name="Attention").click()
    grid = page.get_by_role("img", name="Attention patterns of 2 layers by 2 heads")
    grid.wait_for()
    page.wait_for_timeout(500)
    grid.click(position={"x": 34 + 79 + 30, "y": 20 + 30})
    page.get_by_text("layer 1, head 0: weight on the key").wait_for()
    page.get_by_role("tab", name="Next token").click()
    page.get_by_text("After position").wait_for()
    page.get_by_role("tab", name="Attention").click()
    page.get_by_text("layer 1, head 0: weight on the key").wait_for()
    prompt.check()


def test_the_graph_selects_pins_and_remembers(open_tab):
    watched = open_tab("/circuits?ci=mary-john")
    page = watched.page
    node = page.locator("g.node.feature").first
    node.wait_for()
    node.click()
    page.wait_for_url(re.compile("ci_sel=feature"))
    assert page.locator("g.node.selected").count() == 1
    assert page.locator("g.node.dim").count() > 0
    node.click(modifiers=["Control"])
    page.locator("g.node.pinned").wait_for()
    page.wait_for_timeout(1000)
    page.reload()
    page.locator("g.node.pinned").wait_for()
    page.locator("g.node.selected").wait_for()
    before = page.url
    page.locator("button.row").first.click()
    page.wait_for_url(lambda url: url != before and "ci_sel=" in url)
    page.locator("g.node.pinned").click(modifiers=["Control"])
    page.locator("g.node.pinned").wait_for(state="detached")
    watched.check()


def place_of(node) -> str:
    """Where a node stands once the page around the graph has its last width."""
    seen: list[str] = []
    while len(seen) < 4 or len(set(seen[-4:])) > 1:
        node.page.wait_for_timeout(300)
        seen.append(node.get_attribute("transform"))
    return seen[-1]


def test_zoom_drag_and_double_click(open_tab):
    watched = open_tab("/circuits?ci=mary-john")
    page = watched.page
    node = page.locator("svg.nodes g.logit")
    node.wait_for()
    page.wait_for_function("!document.querySelector('[data-test-script-state=running]')")
    before = place_of(node)
    box = page.locator("svg.nodes").bounding_box()
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.mouse.wheel(0, -400)
    page.wait_for_timeout(400)
    zoomed = node.get_attribute("transform")
    page.mouse.down()
    page.mouse.move(box["x"] + 180, box["y"] + 140, steps=5)
    page.mouse.up()
    page.wait_for_timeout(400)
    dragged = node.get_attribute("transform")
    assert len({before, zoomed, dragged}) == 3
    page.locator("svg.nodes").dblclick(position={"x": 60, "y": 30})
    assert place_of(node) == before
    watched.check()


def test_a_large_graph_opens_pruned_says_so_and_offers_more(open_tab):
    watched = open_tab("/circuits?ci=large")
    page = watched.page
    page.locator("g.node").first.wait_for()
    chips = page.locator(".chips")
    assert page.locator("svg.nodes g.node").count() == 500
    assert "500 of 2,529 nodes shown" in chips.inner_text()
    assert "529 not loaded" in chips.inner_text()
    labels = page.locator("svg.nodes").evaluate("box => box.getRootNode().querySelector('.root').state.labelled")
    assert [label["x"] for label in labels] == sorted(label["x"] for label in labels)
    inside = page.locator("svg.nodes").bounding_box()
    page.locator("svg.nodes").hover(position={"x": inside["width"] - 30, "y": inside["height"] - 12})
    assert page.locator(".box ~ .tip, .tip:visible").first.inner_text().split("\n")[-2:] == ["position", "7"]
    page.get_by_role("button", name="Next 500").click()
    assert page.locator("svg.nodes g.node").count() == 1000
    page.locator(".errors").uncheck()
    assert page.locator("svg.nodes g.error").count() == 0
    page.get_by_role("button", name=re.compile("error nodes hidden")).click()
    page.get_by_role("button", name=re.compile("of the influence")).click()
    assert "of the influence" not in chips.inner_text()
    watched.check()


def test_tokens_are_text_and_never_markup(open_tab):
    watched = open_tab("/circuits?ci=mary-john")
    page = watched.page
    page.locator("g.node.feature").first.click()
    page.get_by_role("tab", name="Contexts").click()
    text = page.locator(".example .text").first
    text.wait_for()
    assert "<i>man</i>" in text.inner_text().replace("·", "")
    assert text.locator("i").count() == 0
    assert page.get_by_text("<b>John</b>").first.is_visible()
    page.goto(watched.url + "/prompt?m=planted-places&q=%3Cimg+src%3Dx+onerror%3Dalert(1)%3E+the")
    load(watched)
    page.locator(".flow .token, [data-testid=stAlert]").first.wait_for()
    assert page.locator("img[src=x]").count() == 0
    watched.check()


def test_components_follow_the_dark_theme(open_tab):
    shades = {}
    for dark in (False, True):
        watched = open_tab("/circuits?ci=mary-john", dark=dark)
        watched.page.locator("g.node").first.wait_for()
        colour = watched.page.locator(".bar .find").evaluate("node => getComputedStyle(node).color")
        shades[dark] = sum(int(part) for part in re.findall(r"\d+", colour)[:3])
        watched.check()
    assert shades[False] < 200 < 500 < shades[True]


def test_what_belongs_to_one_step_is_one_entry_of_the_history(prompt):
    page = prompt.page
    page.wait_for_function("history.workbench")
    page.wait_for_timeout(1000)
    lengths = page.evaluate(
        """async () => {
          const lengths = [history.length];
          const push = (url) => { history.pushState({}, "", url); lengths.push(history.length); };
          push("/jobs");
          push("/jobs?m=a");
          await new Promise((done) => setTimeout(done, 500));
          push("/jobs?m=b");
          await new Promise((done) => setTimeout(done, 500));
          push("/settings");
          await new Promise((done) => setTimeout(done, 500));
          push("/settings?m=b");
          return lengths.map((length) => length - lengths[0]);
        }"""
    )
    assert lengths == [0, 1, 1, 2, 3, 3]
    prompt.check()
