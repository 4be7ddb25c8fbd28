"""The native CPU path: dense products through oneDNN, everything sparse through numba."""
