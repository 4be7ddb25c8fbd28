"""Room 4: attribution graphs of one prompt, their scores, pruning, and their validation by intervention."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
