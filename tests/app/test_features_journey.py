"""Find a unit, look at it, label it, steer it, come back by link: in a browser, on the planted model."""

import re

import pytest

from workbench_app.serve import running

from .conftest import KNOWN_404
from .units import MODEL, fill_units

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def units_server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("units")
    fill_units(folder / "workspace")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_CACHE", str(folder / "cache"))
        patch.setenv("OMP_NUM_THREADS", "1")
        with running(folder / "workspace", MODEL) as server:
            yield server


def test_from_a_list_to_a_steered_text_and_back_by_link(units_server, browser):
    context = browser.new_context(viewport={"width": 1400, "height": 1000})
    context.set_default_timeout(60_000)
    page, complaints, foreign = context.new_page(), [], []

    def heard(message) -> None:
        if message.type == "error" and not any(k in (message.location or {}).get("url", "") for k in KNOWN_404):
            complaints.append(message.text)

    page.on("console", heard)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: foreign.append(request.url))
    page.goto(units_server.url + "/features")
    page.get_by_test_id("stMain").get_by_role("button", name=f"Load {MODEL}").click()
    page.get_by_text("of 24 units shown").wait_for()
    page.get_by_role("radio", name="Writes this token").or_(page.get_by_text("Writes this token")).first.click()
    page.get_by_label("Token; a leading space counts").fill(" cap-north-korea")
    page.keyboard.press("Enter")
    page.get_by_text("Direct path only").first.wait_for()
    page.wait_for_url(re.compile("ft_q_token="))

    page.goto(units_server.url + "/features?d=mine&u=transcoder:mine:mlp_in.1:3&ft_tab=Where+it+fires")
    page.get_by_text("Fires on").first.wait_for()
    page.get_by_placeholder("what it stands for").fill("<script>alert(1)</script> & </span>")
    page.keyboard.press("Enter")
    page.get_by_text("History (1)").wait_for()
    page.get_by_role("tab", name="What it writes").click()
    page.get_by_text("By the weights").wait_for()
    page.locator(".row .track").first.wait_for()
    page.get_by_role("tab", name="Steer").click()
    page.get_by_label("Prompt").last.fill("a small cat went to east timor and the")
    page.keyboard.press("Control+Enter")
    page.get_by_role("button", name="Steer", exact=True).click()
    page.get_by_text("Next token after the prompt").wait_for()
    assert page.locator(".flow .token").count() > 10
    page.get_by_role("button", name="Keep in the address").click()
    page.wait_for_url(re.compile("v=steer-"))
    address = page.url
    page.goto("about:blank")
    page.goto(address)
    page.get_by_text("Side by side").wait_for()
    assert page.get_by_label("Prompt").last.input_value() == "a small cat went to east timor and the"
    context.close()
    assert complaints == []
    assert [url for url in foreign if not url.startswith(("http://127.0.0.1:", "data:", "blob:", "about:"))] == []
