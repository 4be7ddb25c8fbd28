"""Room 5: pictures. Pure functions from a noun to a plotly Figure, a static SVG or self-contained HTML."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
