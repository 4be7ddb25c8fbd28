"""Find a unit, look at it, label it, steer it, come back by link: in a browser, on the planted model."""

import re

import pytest

pytestmark = pytest.mark.browser


def test_from_a_list_to_a_steered_text_and_back_by_link(open_tab):
    watched = open_tab("/features?d=mine")
    page = watched.page
    watched.load()
    page.get_by_text("of 24 units shown").wait_for()
    page.get_by_role("radio", name="Writes this token").or_(page.get_by_text("Writes this token")).first.click()
    page.get_by_label("Token; a leading space counts").fill(" cap-north-korea")
    page.keyboard.press("Enter")
    page.get_by_text("Direct path only").first.wait_for()
    page.wait_for_url(re.compile("ft_q_token="))

    page.goto(watched.url + "/features?d=mine&u=transcoder:mine:mlp_in.1:3&ft_tab=Where+it+fires")
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
    page.locator(".flow .token").nth(10).wait_for()
    page.get_by_role("button", name="Keep in the address").click()
    page.wait_for_url(re.compile("v=steer-"))
    address = page.url
    page.goto("about:blank")
    page.goto(address)
    page.get_by_text("Side by side").wait_for()
    page.wait_for_function(
        "[...document.querySelectorAll('textarea, input')].some(t => t.value.startsWith('a small cat went to east'))"
    )
    watched.check()
