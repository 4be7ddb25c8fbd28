"""Home by AppTest: the three precomputed examples, read before a model is loaded, and that they were measured."""

import pytest

from workbench.core import Silent
from workbench_app import precomputed, state

from .test_pages import open_page, text_of


@pytest.mark.parametrize("number", range(len(precomputed.PROMPTS)))
def test_what_is_shipped_is_what_the_model_does(number):
    model, prompt = precomputed.PROMPTS[number]
    shipped, made = precomputed.examples()[number], precomputed.measure(model, prompt)
    assert (shipped.weight_hash, shipped.prompt, shipped.tokens) == (made.weight_hash, prompt, made.tokens)
    assert shipped.surprise[1:] == pytest.approx(made.surprise[1:], rel=0.02, abs=1e-4)
    assert [row[0][1] for row in shipped.tops] == pytest.approx([row[0][1] for row in made.tops], rel=0.02)
    assert shipped.lens[-1][1] == made.lens[-1][1]
    assert shipped.settled == made.settled


def test_three_examples_stand_before_a_model_is_loaded():
    at = open_page()
    text = text_of(at)
    assert "Three predictions to read now" in [title.value for title in at.subheader]
    assert "reads 'Clara'" in text
    assert "first after block 1 of 2" in text
    assert not at.error
    assert state.shelf().names() == ()


def test_an_example_opens_on_the_prompt_page_with_its_model():
    at = open_page()
    at.button(key="ho_open_0").click().run()
    assert not at.exception
    assert at.session_state["focus"].model == "tiny-sentences"
    assert at.session_state["focus"].prompt == precomputed.PROMPTS[0][1]
    job = state.loading("tiny-sentences")
    assert job is not None
    job.result(timeout=60)
    state.shelf().unload("tiny-sentences")


def test_with_a_model_loaded_home_makes_room():
    state.shelf().load("planted-places", Silent())
    assert "Three predictions to read now" not in [title.value for title in open_page().subheader]
    state.shelf().unload("planted-places")
