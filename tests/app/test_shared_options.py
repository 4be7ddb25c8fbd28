"""Options that commands share become flags of each; Results are shown in one way."""

import json

import pytest
import typer
from typer.testing import CliRunner

from workbench.core import Result
from workbench_app.cli.flags import settings
from workbench_app.cli.options import PreciseOpening
from workbench_app.cli.results import show


@pytest.fixture
def asked():
    """A command that keeps the group of options that it was given."""
    given = []
    app = typer.Typer()

    @app.command()
    @settings()
    def command(word: str, shared: PreciseOpening, count: int = 3) -> None:
        given.append((word, count, shared))

    def run(*words: str):
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, done.output
        return given[-1]

    return run


def test_a_group_becomes_flags_with_its_defaults(asked):
    assert asked("a") == ("a", 3, PreciseOpening())
    words = ("--dtype", "bfloat16", "--device", "cpu", "--offline", "--json", "--workspace", "there", "--count", "5")
    word, count, shared = asked("b", *words)
    assert (word, count, shared.as_json, shared.place().path.name) == ("b", 5, True, "there")
    assert shared.opening == {"device": "cpu", "offline": True, "dtype": "bfloat16"}


RESULT = Result(
    "example",
    tables={"units": [{"unit": "a", "f1": 0.5, "f1_low": 0.25, "f1_high": 0.75, "note": ""}], "others": [{"x": 1}]},
    partial=True,
)


def test_intervals_stand_behind_values_and_a_partial_result_ends_with_130(capsys):
    with pytest.raises(typer.Exit) as stop:
        show(RESULT, as_json=False, tables=("units",))
    assert stop.value.exit_code == 130
    out = capsys.readouterr().out
    assert "0.25 to 0.75" in out
    assert "f1_low" not in out
    assert "note" not in out
    assert "others" not in out


def test_json_is_the_whole_result(capsys):
    with pytest.raises(typer.Exit):
        show(RESULT, as_json=True, tables=("units",))
    assert set(json.loads(capsys.readouterr().out)["tables"]) == {"units", "others"}
