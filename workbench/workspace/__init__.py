"""Room 1b: where things lie on disk, what the workspace holds, long work as jobs."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
