"""When a checkpoint is due."""

import pytest

from workbench.training import pace
from workbench.training.pace import Pace


class Clock:
    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(pace, "time", clock)
    return clock


def test_chunks_and_cost_decide(clock):
    due = Pace(every=3, share=0.1, written=4)
    assert [due.due(chunk) for chunk in (5, 6, 7)] == [False, False, True], "the first one costs nothing known"
    with due.writing(7):
        clock.now += 2.0
    assert due.written == 7
    clock.now += 19.0
    assert not due.due(12), "2 s are more than a tenth of 19 s"
    clock.now += 1.5
    assert due.due(12)
    assert not due.due(9), "too few chunks"


def test_without_a_share_chunks_alone_decide(clock):
    due = Pace(every=2, share=None, written=0)
    with due.writing(2):
        clock.now += 100.0
    assert [due.due(chunk) for chunk in (3, 4)] == [False, True]


def test_a_failed_one_does_not_count(clock):
    due = Pace(every=1, share=0.5, written=0)
    with pytest.raises(OSError, match="full"), due.writing(1):
        raise OSError("full")
    assert due.written == 0
    assert due.due(1)
