"""The Triton path: kernels for NVIDIA (and AMD) GPUs, also runnable under Triton's interpreter."""
