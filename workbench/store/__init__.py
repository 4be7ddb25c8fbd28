"""Room 3: activations on disk, and rows for training from disk or straight from the model."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
