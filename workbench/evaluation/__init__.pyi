from .config import EvaluateConfig as EvaluateConfig
from .evaluate import evaluate as evaluate
from .matching import Matching as Matching, match as match, written_rows as written_rows
from .planted_bench import planted_bench as planted_bench, train_on as train_on
from .planted_config import PlantedBenchConfig as PlantedBenchConfig, Recipe as Recipe
from .planted_rows import PlantedRows as PlantedRows
from .recovery import Recovery as Recovery, recover as recover
from .speed.config import (
    CaptureBenchConfig as CaptureBenchConfig,
    KernelBenchConfig as KernelBenchConfig,
    TrainingBenchConfig as TrainingBenchConfig,
)
from .speed.kernels import bench_kernels as bench_kernels
