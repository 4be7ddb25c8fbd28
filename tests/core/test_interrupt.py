import signal
import threading

import pytest

from workbench.core import Interruptible


@pytest.fixture(autouse=True)
def default_handler():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_the_first_interrupt_asks_and_the_second_stops():
    with Interruptible() as work:
        assert not work.cancelled()
        signal.raise_signal(signal.SIGINT)
        assert work.cancelled()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_inner_one_leaves_the_signal_to_the_outer():
    told = []

    class Telling(Interruptible):
        def interrupted(self):
            told.append("asked")

    with Telling() as outer, Interruptible() as inner:
        signal.raise_signal(signal.SIGINT)
        assert outer.cancelled()
        assert inner.cancelled()
    assert told == ["asked"]


def test_a_thread_goes_without_signals():
    def work():
        with Interruptible() as inside:
            found.append(inside.cancelled())

    found = []
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [False]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
