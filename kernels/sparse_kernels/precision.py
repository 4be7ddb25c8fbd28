"""Whether bfloat16 may help: it finds candidates only, so answers do not depend on it, but times do."""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

_bfloat16_candidates: ContextVar[bool] = ContextVar("bfloat16_candidates", default=True)


def bfloat16_candidates() -> bool:
    """Whether products in bfloat16 may look for candidates that float32 then decides on."""
    return _bfloat16_candidates.get()


@contextlib.contextmanager
def float32_only() -> Iterator[None]:
    """Inside, every product of this thread runs in float32; the chosen features are the same either way."""
    token = _bfloat16_candidates.set(False)
    try:
        yield
    finally:
        _bfloat16_candidates.reset(token)
