from .config import EvaluateConfig as EvaluateConfig
from .evaluate import evaluate as evaluate
from .speed.config import (
    CaptureBenchConfig as CaptureBenchConfig,
    KernelBenchConfig as KernelBenchConfig,
    TrainingBenchConfig as TrainingBenchConfig,
)
from .speed.kernels import bench_kernels as bench_kernels
