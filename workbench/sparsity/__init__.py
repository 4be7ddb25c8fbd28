"""Room 4: which neurons fire, how few of them suffice, and what follows when only those are run."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
