"""Room 2: text as documents, packed sequences, prompts with known answers."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
