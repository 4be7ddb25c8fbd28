"""Room 1: the nouns that are pure data. It knows no model and no user interface."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
