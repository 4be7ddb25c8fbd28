"""Keep what stays for good out of Python's garbage collections.

Streamlit collects after every rerun. With torch and a model in memory that visits 600,000 objects, and the
visitor waits for a quarter of a second in which nothing is sent.
"""

import atexit
import gc
import sys
import threading

GROWN = 30  # modules that were imported since; then there is more to leave out
_lock = threading.Lock()
_settled = 0
atexit.register(gc.unfreeze)


def settle() -> None:
    """Leave out everything that is alive now, if much was imported since the last time."""
    global _settled
    count = len(sys.modules)
    if count < _settled + GROWN or not _lock.acquire(blocking=False):
        return
    try:
        gc.collect()
        gc.freeze()
        _settled = count
    finally:
        _lock.release()


def unsettle() -> None:
    """Look at everything again at the next collection, so that what was let go (a model) leaves the memory."""
    global _settled
    with _lock:
        gc.unfreeze()
        _settled = 0
