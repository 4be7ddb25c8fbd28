"""Room 3: the training loop, exact resume, and the recipes that use them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
