"""Every benchmark of this room, registered by importing the files that hold them."""

from . import capture, codebooks, graphs, kernels, masks, profile, sparsity, training

__all__ = ["capture", "codebooks", "graphs", "kernels", "masks", "profile", "sparsity", "training"]
