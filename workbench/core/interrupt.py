"""Ctrl-C (or a notebook's stop button) as a request: the work ends at its next safe point and keeps what it has."""

import signal
import threading
from contextlib import AbstractContextManager
from typing import Any, Self


class Interruptible(AbstractContextManager):
    """Within, the first interrupt makes `cancelled` true, the second raises KeyboardInterrupt at once.

    Inside another one, it leaves the handling to that. Outside the main thread, where no signals arrive, it does
    nothing.
    """

    def __init__(self) -> None:
        self._asked = False
        self._outer: Interruptible | None = None
        self._previous: Any = None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            previous = signal.getsignal(signal.SIGINT)
            owner = getattr(previous, "__self__", None)
            if isinstance(owner, Interruptible):
                self._outer = owner
            else:
                self._previous = previous
                signal.signal(signal.SIGINT, self._interrupt)
        return self

    def __exit__(self, *_: object) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)
        self._previous = self._outer = None

    def cancelled(self) -> bool:
        """Whether somebody asked to stop."""
        return self._asked or (self._outer is not None and self._outer.cancelled())

    def interrupted(self) -> None:
        """Called at the first interrupt; a place to say so."""

    def _interrupt(self, *_: object) -> None:
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True
        self.interrupted()
