import math

import pytest
from hypothesis import given, strategies as st

from workbench.figures import clip, legible, plain, plain_token, show, signed, visible


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3.7216, "3.72"),
        (-0.82, "−0.820"),
        (0.0, "0"),
        (-0.0, "0"),
        (123456.0, "123000"),
        (13440, "13\u202f440"),
        (1e-7, "1.00e−7"),
        (2.5e9, "2.50e9"),
        (0.00012, "0.000120"),
        (0.9999, "1.00"),
        (None, "–"),
        (float("nan"), "–"),
        (float("-inf"), "−∞"),
        (True, "yes"),
    ],
)
def test_three_digits_are_shown(value, text):
    assert show(value) == text


@given(st.floats(1e-4, 9e5))
def test_what_is_shown_is_within_half_a_unit_of_the_third_digit(value):
    assert math.isclose(float(show(value)), value, rel_tol=0.00501)


def test_a_sign_is_always_shown():
    assert [signed(v) for v in (0.25, -0.25, 0.0)] == ["+0.250", "−0.250", "0"]


def test_blanks_become_visible_and_hiding_characters_become_escapes():
    assert visible(" Mary\n\t") == "·Mary↵⇥"
    assert visible("a\u202eb\u200b\x00") == "a\\u202eb\\u200b\\x00"
    assert legible("two\nlines\u2028") == "two lines\\u2028"


@given(st.text(max_size=60))
def test_no_control_character_survives(text):
    shown = visible(text, 100)
    assert not any(ord(c) < 32 or 0x200B <= ord(c) <= 0x200F or 0x202A <= ord(c) <= 0x202E for c in shown)


def test_plotly_sees_no_tag():
    assert plain("<b>x</b>&lt;") == "&lt;b&gt;x&lt;/b&gt;&amp;lt;"
    assert plain_token(" <b>") == "·&lt;b&gt;"


def test_clip_keeps_short_texts():
    assert clip("abc", 3) == "abc"
    assert clip("abcd", 3) == "ab…"
