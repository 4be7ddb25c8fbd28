"""Room 2: the only room that knows TransformerLens, transformers and gguf."""

import lazy_loader

from workbench.workspace import switch_off_telemetry

switch_off_telemetry()  # before any library below is imported

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
