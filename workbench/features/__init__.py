"""Room 4: what single features do: where they fire and which tokens they promote."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
