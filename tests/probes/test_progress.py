import signal

from workbench.core import Progress
from workbench_probes import NotebookProgress


def test_a_notebook_sees_each_phase_and_can_stop_the_work(capsys):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with NotebookProgress() as progress:
            assert isinstance(progress, Progress)
            progress.advance()  # before any phase: nothing to draw on
            progress.phase("capture", total=4, unit="rows")
            progress.advance(4)
            progress.phase("train")
            progress.advance()
            assert not progress.cancelled()
            signal.raise_signal(signal.SIGINT)
            assert progress.cancelled()
    finally:
        signal.signal(signal.SIGINT, before)
    shown = capsys.readouterr().err
    assert "capture" in shown
    assert "stopping at the next safe point" in shown
