"""Every benchmark of this room, registered by importing the files that hold them."""

from . import capture, circuits, codebooks, kernels, training

__all__ = ["capture", "circuits", "codebooks", "kernels", "training"]
