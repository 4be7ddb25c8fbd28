from hypothesis import given, strategies as st

from workbench_app.focus import INLINE, Focus, from_query, prompt_id, to_query

texts = st.text(min_size=1, max_size=40)
numbers = st.none() | st.integers(0, 500)


@given(
    model=st.none() | texts, prompt=texts, bos=st.none() | st.booleans(), position=numbers, layer=numbers, head=numbers
)
def test_what_the_address_of_the_prompt_page_says_comes_back(model, prompt, bos, position, layer, head):
    focus = Focus(model=model, prompt=prompt, bos=bos, position=position, layer=layer, head=head)
    changes, problems = from_query(to_query(focus, "prompt"))
    assert Focus(**changes) == focus
    assert problems == []


def test_a_long_prompt_travels_by_id():
    text = "word " * INLINE
    query = to_query(Focus(prompt=text), "prompt")
    assert query == {"p": prompt_id(text)}
    assert from_query(query) == ({"prompt_id": prompt_id(text)}, [])


def test_each_page_carries_only_what_it_shows():
    focus = Focus(model="m", prompt="hello", position=3, graph="g", node="n")
    assert to_query(focus, "home") == {"m": "m"}
    assert to_query(focus, "circuits") == {"m": "m", "ci": "g", "ci_sel": "n"}
    assert to_query(focus, "jobs") == {"m": "m"}


def test_a_number_that_is_none_is_told_and_ignored():
    changes, problems = from_query({"t": "three", "pr_l": "-2", "m": "x", "pr_bos": "yes"})
    assert changes == {"model": "x"}
    assert len(problems) == 2
    assert "'three'" in problems[0]
