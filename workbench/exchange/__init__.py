"""Exchange: reads and writes other libraries' dictionaries by our own code, without depending on any of them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
