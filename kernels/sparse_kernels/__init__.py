"""Sparse top-k kernels: tensors in, tensors out, with one reference and native CPU and Triton paths."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
