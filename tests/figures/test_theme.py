from hypothesis import given, strategies as st

from workbench.figures.theme import DARK, LEVELS, LIGHT, contrast, level, level_colours, variables


def test_text_on_every_value_level_is_readable():
    for palette in (LIGHT, DARK):
        for sign in (1, -1):
            assert len(level_colours(palette, sign)) == LEVELS
            for ground, ink in level_colours(palette, sign):
                assert contrast(ground, ink) >= 4.5, (palette.paper, ground, ink)


def test_words_in_every_text_colour_are_readable_on_paper_and_panel():
    for palette in (LIGHT, DARK):
        for ground in (palette.paper, palette.panel):
            for ink in (palette.ink, palette.muted, palette.positive, palette.negative, palette.neutral):
                assert contrast(ground, ink) >= 4.0, (ground, ink)


def test_contrast_of_black_and_white_is_21():
    assert round(contrast("#000000", "#ffffff"), 2) == 21


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_a_level_has_the_sign_of_its_value_and_stays_in_range(value, largest):
    found = level(value, largest)
    assert -LEVELS <= found <= LEVELS
    assert found * value >= 0


def test_the_largest_value_takes_the_strongest_level_and_nothing_takes_none():
    assert level(3.0, 3.0) == LEVELS
    assert level(-3.0, 3.0) == -LEVELS
    assert level(0.0, 3.0) == level(float("nan"), 3.0) == level(1.0, 0.0) == 0


def test_variables_have_a_light_a_dark_and_a_paper_form():
    css = variables(".x")
    assert css.count(".x{") == 3
    assert "prefers-color-scheme:dark" in css
    assert css.rindex(LIGHT.paper) > css.index("@media print")
