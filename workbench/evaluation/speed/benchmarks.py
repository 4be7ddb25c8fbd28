"""Every benchmark of this room, registered by importing the files that hold them."""

from . import kernels, training

__all__ = ["kernels", "training"]
