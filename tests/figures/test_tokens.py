from html.parser import HTMLParser

import pytest
from sample_study import HOSTILE

from workbench.figures import token_html, token_strip


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags, self.text, self.spans = [], "", []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag == "span":
            self.spans.append(dict(attrs))

    def handle_data(self, data):
        self.text += data


def read(page) -> Reader:
    reader = Reader()
    reader.feed(str(page))
    return reader


def test_every_token_is_a_span_with_visible_blanks():
    found = read(token_strip([" Mary", "\n", "x"]))
    assert len(found.spans) == 3
    assert found.text == "·Mary↵x"


def test_values_set_classes_by_sign_and_size_and_are_told_on_hover():
    spans = read(token_strip(["a", "b", "c", "d"], [1.0, -0.5, 0.0, None])).spans
    assert [span.get("class") for span in spans] == ["p8", "n4", None, None]
    assert spans[1]["title"] == "b  −0.500"
    assert "title" not in spans[3]


def test_the_peak_is_outlined_and_a_shared_scale_is_kept():
    spans = read(token_strip(["a", "b"], [1.0, 2.0], peak=1, largest=4.0)).spans
    assert [span["class"] for span in spans] == ["p2", "p4 peak"]


def test_hostile_tokens_stay_text():
    found = read(token_strip([HOSTILE, '" onmouseover="alert(1)'], [1.0, 1.0], titles=[HOSTILE, '"><b>']))
    assert set(found.tags) == {"div", "span", "wbr", "i"}
    assert "</script><script>" in found.text
    assert all(set(span) <= {"class", "title"} for span in found.spans)


def test_values_must_be_one_a_token():
    with pytest.raises(ValueError, match="shorter"):
        token_strip(["a", "b"], [1.0])


def test_the_stand_alone_strip_brings_its_style():
    page = str(token_html(["a"], [1.0]))
    assert ".wb .p8{" in page
    assert "<script" not in page
