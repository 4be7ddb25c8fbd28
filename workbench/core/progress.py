"""Progress: how long work tells of itself and is cancelled; a terminal, a job and a notebook implement it."""

from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Progress(Protocol):
    """What long work reports to. Every verb that takes more than a second accepts one."""

    def phase(self, name: str, total: float | None = None, unit: str = "") -> None:
        """A new phase begins; `total` is the amount of work in `unit`, None when unknown."""
        ...

    def advance(self, amount: float = 1) -> None:
        """Some of the current phase's work is done."""
        ...

    def partial(self, value: Any) -> None:
        """A partial result worth showing."""
        ...

    def cancelled(self) -> bool:
        """True when the work should stop at the next safe point and return what it has."""
        ...


class Silent:
    """A Progress that shows nothing and never cancels."""

    def phase(self, name: str, total: float | None = None, unit: str = "") -> None: ...

    def advance(self, amount: float = 1) -> None: ...

    def partial(self, value: Any) -> None: ...

    def cancelled(self) -> bool:
        return False
