import pytest

from workbench.core import Progress, Silent
from workbench.models import ProgramConfig, discretise
from workbench.recipes import ReproduceConfig, reproduce, reproduce_programs
from workbench.recipes.program_runs import RUNS, ProgramRun
from workbench.recipes.programs import hits, open_program, program_data, source_of, train_program
from workbench.recipes.reproduce_programs import agreement
from workbench.workspace import Workspace


class StopsOnce(Silent):
    def __init__(self) -> None:
        self.records = 0

    def partial(self, value) -> None:
        self.records += 1

    def cancelled(self) -> bool:
        return self.records == 1


TINY = ProgramRun(
    name="histogram", samples=200, steps=100, batch=16,
    program=ProgramConfig(layers=1, categorical_heads=1, numerical_heads=1, hidden=8),
)  # fmt: skip


@pytest.mark.parametrize("name", [run.name for run in RUNS])
def test_the_python_of_a_shipped_program_agrees_on_every_test_input(name):
    found = open_program(name)
    run, model, source = found
    test = program_data(run)["test"]
    assert len(test.ids) == 2000
    assert source == source_of(run, model)
    right, asked = hits(discretise(model), test)
    assert right / asked >= 0.95
    assert agreement(found, test, Silent()) == len(test.ids)


def test_the_parts_of_the_data_are_distinct():
    parts = {name: {tuple(row) for row in part.ids.tolist()} for name, part in program_data(TINY).items()}
    assert {name: len(rows) for name, rows in parts.items()} == {"train": 160, "validation": 20, "test": 20}
    assert len(set.union(*parts.values())) == 200


def test_a_program_trains_on_as_if_it_had_never_stopped(tmp_path):
    stops: Progress = StopsOnce()
    whole, _ = train_program(TINY, tmp_path / "whole")
    assert train_program(TINY, tmp_path / "parted", stops)[1].partial
    parted, trained = train_program(TINY, tmp_path / "parted")
    assert not trained.partial
    assert source_of(TINY, parted) == source_of(TINY, whole)
    assert all((a == b).all() for a, b in zip(whole.parameters(), parted.parameters(), strict=True))


@pytest.mark.slow
def test_from_scratch_to_the_table(tmp_path, monkeypatch):
    monkeypatch.setattr(reproduce_programs, "RUNS", (TINY,))
    found = reproduce(Workspace(tmp_path), "transformer-programs", ReproduceConfig(from_scratch=True))
    (row,) = found.tables["programs"]
    assert row["python_agrees"] == row["test_inputs"] == 20
    assert row["discrete_low"] <= row["discrete"] <= row["discrete_high"]
    assert [line["published"] for line in found.tables["summary"]] == [1.0, "equal by construction"]
