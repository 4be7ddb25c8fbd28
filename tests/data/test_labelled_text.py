"""Tables of labelled texts: read in three formats, refused when unfit, warned of when easy to cheat on."""

import json

import numpy as np
import pandas
import pytest

from workbench.core import ConfigError, TextError
from workbench.data import labelled_texts, open_labelled

ROWS = [{"text": f"text number {n}, told", "label": "ab"[n % 2], "group": f"source {n // 4}"} for n in range(24)]


def write(folder, kind):
    path = folder / f"table.{kind}"
    if kind == "jsonl":
        path.write_text("\n".join(map(json.dumps, ROWS)))
    elif kind == "parquet":
        pandas.DataFrame(ROWS).to_parquet(path)
    else:
        pandas.DataFrame(ROWS).to_csv(path, index=False, sep="\t" if kind == "tsv" else ",")
    return path


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet"])
def test_every_format_gives_the_same_table(tmp_path, kind):
    found = open_labelled(write(tmp_path, kind))
    assert found.texts == tuple(row["text"] for row in ROWS)
    assert found.classes == ("a", "b")
    assert found.targets.tolist() == [0, 1] * 12
    assert len(np.unique(found.group)) == 6
    assert found.grouped
    assert found.warnings() == ()


def test_numbers_are_a_regression_unless_they_are_names():
    records = [(f"text {n}", str(n / 7), None) for n in range(20)]
    assert labelled_texts(records).classes == ()
    assert labelled_texts([(t, str(n % 3), None) for n, (t, _, _) in enumerate(records)]).classes == ("0", "1", "2")
    whole = labelled_texts([(t, str(n), None) for n, (t, _, _) in enumerate(records)], regression=True)
    assert whole.targets.tolist() == list(map(float, range(20)))
    with pytest.raises(TextError, match="a number as the label"):
        labelled_texts([("a", "1", None), ("b", "two", None)], regression=True)


def test_what_makes_cheating_easy_is_said():
    shared = "the very same opening of some forty characters and more, then "
    rare = [n % 5 == 0 for n in range(40)]
    records = [(f"{shared}{n}" * (1 + 4 * r), "rare" if r else "common", f"g{n}") for n, r in enumerate(rare)]
    records.append((records[0][0], "rare", "elsewhere"))
    warned = " ".join(labelled_texts(records).warnings())
    assert "more than one group" in warned
    assert "begin with 40 characters" in warned
    assert "Unbalanced" in warned
    assert "Lengths differ" in warned
    lone = labelled_texts([(f"t{n}", "xy"[n % 2], None) for n in range(9)])
    assert "no column `group`" in lone.warnings()[0]


def test_a_sample_keeps_the_shares():
    found = labelled_texts([(f"t{n}", "x" if n % 4 else "y", f"g{n}") for n in range(200)])
    part = found.take(40, 3)
    assert np.bincount(part.targets).tolist() == [30, 10]
    assert part.classes == ("x", "y")
    assert part.texts == found.take(40, 3).texts
    assert found.take(None, 0) is found


def test_unfit_tables_are_refused(tmp_path):
    (tmp_path / "bad.csv").write_text("sentence,label\na,b\n")
    with pytest.raises(TextError, match="record 1 has no `text`"):
        open_labelled(tmp_path / "bad.csv")
    (tmp_path / "bad.jsonl").write_text('{"text": "a", "label"')
    with pytest.raises(TextError, match="cannot read the table"):
        open_labelled(tmp_path / "bad.jsonl")
    with pytest.raises(TextError, match="no table at"):
        open_labelled(tmp_path / "none.csv")
    with pytest.raises(TextError, match="different labels"):
        labelled_texts([("a", "x", None), ("b", "x", None)])
    with pytest.raises(ConfigError, match="sentiment"):
        open_labelled("sentimant")


def test_no_adjective_lies_on_both_sides_of_a_judgement():
    found = open_labelled("sentiment")
    assert np.bincount(found.targets).tolist() == [210, 210]
    for number in np.unique(found.group):
        assert len(set(found.targets[found.group == number])) == 1
