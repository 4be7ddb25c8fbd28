from html.parser import HTMLParser

import numpy as np
import sample_study as study

from workbench.core import Result


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found = set()

    def handle_starttag(self, tag, attrs):
        self.found.add(tag)
        assert not any(name.startswith("on") for name, _ in attrs)


def tags(page: str) -> set[str]:
    reader = Tags()
    reader.feed(page)
    return reader.found


def test_a_graph_shows_itself_without_script_and_small():
    page = study.graph()._repr_html_()
    assert "svg" in tags(page)
    assert "script" not in tags(page)
    assert len(page.encode()) <= 300_000


def test_a_result_shows_scalars_tables_notes_and_its_flag():
    page = Result(
        "x", {"fvu": 0.31149}, {"rows": [{"a": 1, "b": study.HOSTILE}] * 50}, notes=("A note.",), partial=True
    )
    page = page._repr_html_()
    for part in ("0.311", "A note.", "partial", "30 more rows"):
        assert part in page
    assert not tags(page) & {"script", "img"}


def test_a_validation_shows_its_picture():
    assert "svg" in tags(study.validation(study.graph())._repr_html_())


def test_a_huge_result_stays_small():
    rows = [{f"c{i}": "x" * 5000 for i in range(50)} for _ in range(400)]
    big = Result("x", {f"s{i}": float(i) for i in range(500)}, {f"t{i}": rows for i in range(40)}, {"a": np.zeros(3)})
    assert len(big._repr_html_().encode()) <= 300_000


def test_the_ends_of_an_interval_stand_behind_their_value():
    row = {"ce": 3.4, "ce_low": 3.25, "ce_high": 3.5, "kl": 0.5, "kl_low": float("nan"), "kl_high": 1.0, "low": 2}
    page = Result("x", tables={"rows": [row]})._repr_html_()
    assert "3.40 [3.25, 3.50]" in page
    assert "<td>0.500</td>" in page
    assert "ce_low" not in page
    assert "<th scope=col>low</th>" in page


def test_counts_are_whole_intervals_stay_together_and_empty_columns_are_left_out():
    scalars = {"tokens": 2917.0, "share": 1.0, "score": 0.5, "score_low": 0.4, "score_high": 0.6}
    page = Result("x", scalars, {"rows": [{"a": 1, "units": []}, {"a": 2, "units": []}]})._repr_html_()
    assert "2\u202f917" in page
    assert "1.00" in page
    assert "<td>0.500 [0.400, 0.600]</td>" in page
    assert "units" not in page


def test_tokens_with_values_are_a_strip():
    row = {"tokens": ["a", study.HOSTILE, "c"], "values": [0.0, 2.0, -1.0], "peak": 1, "document": "d"}
    page = Result("x", tables={"examples": [row]})._repr_html_()
    assert page.count("<span") >= 3
    assert 'peak"' in page
    assert not tags(page) & {"script", "img"}
    assert "<th scope=col>values</th>" not in page
