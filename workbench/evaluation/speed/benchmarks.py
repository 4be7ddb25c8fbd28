"""Every benchmark of this room, registered by importing the files that hold them."""

from . import capture, kernels, training

__all__ = ["capture", "kernels", "training"]
