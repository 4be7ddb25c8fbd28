"""Room 6: the circuit report, one JSON truth and its renderings as HTML, Markdown and PDF."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
