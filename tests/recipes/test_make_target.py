"""A word on the command line means the token that the model expects there."""

from types import SimpleNamespace

import pytest
import torch

from workbench.core import TextError
from workbench.recipes import make_target

WORDS = {"Mary": [1], " Mary": [2], "John": [3], " John": [4], "Jonathan": [5], " Jonathan": [3, 6], " the": [7]}
PROMPT = torch.tensor([0, 9])


def model(**logits: float):
    row = torch.zeros(1, 2, 10)
    for token, value in logits.items():
        row[0, -1, int(token.removeprefix("t"))] = value
    tokenizer = SimpleNamespace(encode=lambda text: WORDS.get(text, [8, 8]), strings=lambda ids: [str(i) for i in ids])
    return SimpleNamespace(tokenizer=tokenizer, run=lambda tokens: SimpleNamespace(logits=row))


@pytest.mark.parametrize(("likely", "wanted"), [("t2", (2, 4)), ("t1", (1, 3))])
def test_the_likelier_form_is_taken_for_both_words(likely, wanted):
    assert make_target(model(**{likely: 5.0}), "Mary", "John", PROMPT).tokens == wanted


def test_a_blank_that_was_written_stays_and_forms_are_not_mixed():
    assert make_target(model(t1=5.0), " Mary", " John", PROMPT).tokens == (2, 4)
    assert make_target(model(t2=5.0), "Mary", "Jonathan", PROMPT).tokens == (1, 5)


def test_without_a_prompt_words_are_taken_as_written():
    assert make_target(model(t2=5.0), "Mary", "John").tokens == (1, 3)
    assert make_target(model(), "the", None, PROMPT).tokens == (7,)
    assert make_target(model(), None, None, PROMPT).kind == "top"
    with pytest.raises(TextError, match="wanted one token"):
        make_target(model(), "unknown", None, PROMPT)
