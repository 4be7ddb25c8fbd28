from .absorption import absorption as absorption
from .concept_config import AbsorptionConfig as AbsorptionConfig, ProbingConfig as ProbingConfig
from .concepts import first_letter_absorption as first_letter_absorption, probe_text as probe_text
from .config import EvaluateConfig as EvaluateConfig
from .evaluate import evaluate as evaluate
from .matching import Matching as Matching, match as match, written_rows as written_rows
from .neurons import Neurons as Neurons, NeuronsConfig as NeuronsConfig, neurons_at as neurons_at
from .planted_bench import planted_bench as planted_bench, train_on as train_on
from .planted_config import PlantedBenchConfig as PlantedBenchConfig, Recipe as Recipe
from .planted_rows import PlantedRows as PlantedRows
from .recovery import Recovery as Recovery, recover as recover
from .side_by_side import side_by_side as side_by_side
from .sparse_probing import sparse_probing as sparse_probing
from .speed.capture import bench_capture as bench_capture
from .speed.config import (
    CaptureBenchConfig as CaptureBenchConfig,
    KernelBenchConfig as KernelBenchConfig,
    TrainingBenchConfig as TrainingBenchConfig,
)
from .speed.kernels import bench_kernels as bench_kernels
from .speed.training import bench_training as bench_training
from .stability import stability as stability
