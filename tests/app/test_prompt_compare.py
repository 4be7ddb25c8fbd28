"""Prompt A against prompt B: tokens that belong together, divergences, and the page in its states."""

import numpy as np
import pytest
from hypothesis import given, strategies as st

from workbench.core import Silent
from workbench_app import draft, state
from workbench_app.focus import Focus
from workbench_app.pairing import diverge, pair

from .test_pages import MODEL, PROMPT, open_page, text_of

OTHER = "the man from south korea saw a big dog and said the capital"


@given(st.lists(st.sampled_from("abc"), max_size=8), st.lists(st.sampled_from("abc"), max_size=8))
def test_tokens_are_paired_in_order_and_once(first, second):
    found = pair(first, second)
    assert list(found.first) == sorted(set(found.first))
    assert list(found.second) == sorted(set(found.second))
    assert len(found.first) == len(found.second)
    for a, b in zip(found.first, found.second, strict=True):
        assert found.there(a) == b
        assert found.here(b) == a


def test_an_inserted_word_moves_what_follows():
    found = pair(["a", "b", "c"], ["a", "x", "b", "c"])
    assert (found.first, found.second) == ((0, 1, 2), (0, 2, 3))
    assert found.here(1) is None


def test_divergences_are_those_of_the_definition():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=9), rng.normal(size=9)
    p, q = (np.exp(x) / np.exp(x).sum() for x in (a, b))
    found = diverge(a, b, 4)
    assert found.forward == pytest.approx((p * np.log(p / q)).sum())
    assert found.backward == pytest.approx((q * np.log(q / p)).sum())
    m = (p + q) / 2
    assert found.jensen_shannon == pytest.approx(((p * np.log(p / m)).sum() + (q * np.log(q / m)).sum()) / 2)
    assert list(found.tokens) == list(np.argsort(-np.abs(p - q))[:4])


@pytest.fixture(scope="module")
def loaded():
    state.shelf().load(MODEL, Silent())
    yield MODEL
    state.shelf().unload(MODEL)


def test_the_switch_opens_a_second_box(loaded):
    at = open_page("prompt", m=loaded, q=PROMPT)
    at.toggle(key="pr_compare").set_value(True).run()
    assert at.session_state["focus"].other == ""
    assert at.selectbox(key="pr_model_b").value == loaded
    at.toggle(key="pr_compare").set_value(False).run()
    assert at.session_state["focus"].other is None
    assert not at.error


@pytest.mark.parametrize("tab", ["Next token", "Logit lens", "Attention", "Features"])
def test_a_link_opens_a_comparison_at_every_tab(loaded, tab):
    at = open_page("prompt", m=loaded, q=PROMPT, q2=OTHER, pr_tab=tab, d="neurons")
    assert at.session_state["focus"] == Focus(model=loaded, prompt=PROMPT, other=OTHER, dictionary="neurons")
    assert not at.error
    if tab == "Next token":
        assert float({m.label: m.value for m in at.metric}["KL, A to B"].split()[0]) > 0
    if tab == "Features":
        assert "active in A or B" in text_of(at)


def test_a_prompt_against_itself_differs_nowhere(loaded):
    at = open_page("prompt", m=loaded, q=PROMPT, q2=PROMPT)
    assert {m.label: m.value for m in at.metric}["Jensen–Shannon"] == "0 nats"


def test_a_model_of_the_address_that_is_not_loaded_is_told(loaded):
    at = open_page("prompt", m=loaded, q=PROMPT, q2=OTHER, m2="tiny-sentences")
    assert "tiny-sentences is not in memory" in text_of(at)
    assert not at.error


def test_a_comparison_is_added_to_the_report_draft(loaded):
    at = open_page("prompt", m=loaded, q=PROMPT, q2=OTHER)
    at.button(key="add_to_report").click().run()
    assert not at.exception
    (block,) = draft.blocks()
    assert set(draft.result_of(block).tables) == {"predictions", "tokens"}
