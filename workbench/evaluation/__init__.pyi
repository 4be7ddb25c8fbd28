from .absorption import absorption as absorption
from .automaton import (
    AutomatonQuality as AutomatonQuality,
    AutomatonSubject as AutomatonSubject,
    automaton_quality as automaton_quality,
)
from .automaton_codes import (
    BestCode as BestCode,
    CodeCounts as CodeCounts,
    Purity as Purity,
    best_codes as best_codes,
    code_sample as code_sample,
    count_codes as count_codes,
    mean_precision as mean_precision,
    purity as purity,
    with_neurons as with_neurons,
)
from .automaton_config import AutomatonEvalConfig as AutomatonEvalConfig
from .automaton_patching import Patched as Patched, divergence as divergence, patch_states as patch_states
from .bigram import (
    Answers as Answers,
    Positions as Positions,
    answers as answers,
    by_band as by_band,
    compare as compare,
    examples as examples,
    find_positions as find_positions,
    spread_over as spread_over,
)
from .bigram_config import BigramEvalConfig as BigramEvalConfig
from .bootstrap import Estimate as Estimate, difference as difference, ratio as ratio
from .circuit_neurons import circuit_neurons as circuit_neurons, neuron_scores as neuron_scores
from .code_sweep import code_sweep as code_sweep
from .concept_config import AbsorptionConfig as AbsorptionConfig, ProbingConfig as ProbingConfig
from .concepts import first_letter_absorption as first_letter_absorption, probe_text as probe_text
from .config import EvaluateConfig as EvaluateConfig
from .continual import continual as continual
from .continual_config import ContinualConfig as ContinualConfig
from .core_clusters import CoreClusters as CoreClusters, similarity_guided as similarity_guided
from .core_config import (
    CoreClustersConfig as CoreClustersConfig,
    CoreLossConfig as CoreLossConfig,
    CoreSimilarityConfig as CoreSimilarityConfig,
    CoreStabilityConfig as CoreStabilityConfig,
)
from .core_loss import core_loss as core_loss
from .core_similarity import core_similarity as core_similarity
from .core_stability import core_stability as core_stability
from .dial import dial as dial, mlp_arithmetic as mlp_arithmetic
from .dial_config import DialConfig as DialConfig
from .effect_features import effect_features as effect_features
from .evaluate import Judged as Judged, evaluate as evaluate, evaluate_sets as evaluate_sets
from .feature_neurons import feature_neurons as feature_neurons
from .feature_neurons_config import (
    CircuitNeuronsConfig as CircuitNeuronsConfig,
    FeatureNeuronsConfig as FeatureNeuronsConfig,
)
from .matching import (
    Matching as Matching,
    cosines as cosines,
    match as match,
    match_scores as match_scores,
    written_rows as written_rows,
)
from .neurons import Neurons as Neurons, NeuronsConfig as NeuronsConfig, neurons_at as neurons_at
from .planted_bench import planted_bench as planted_bench, train_on as train_on
from .planted_circuits import planted_circuits as planted_circuits
from .planted_circuits_config import PlantedCircuitsConfig as PlantedCircuitsConfig
from .planted_config import PlantedBenchConfig as PlantedBenchConfig, Recipe as Recipe
from .planted_graphs import exact_transcoders as exact_transcoders
from .planted_rows import PlantedRows as PlantedRows
from .probe import (
    Probe as Probe,
    Split as Split,
    by_mean_difference as by_mean_difference,
    split_groups as split_groups,
)
from .proportion import proportion as proportion
from .recovery import Recovery as Recovery, recover as recover
from .rotation import (
    covariance_similarity as covariance_similarity,
    layer_rows as layer_rows,
    rotations as rotations,
)
from .side_by_side import side_by_side as side_by_side
from .sparse_probing import sparse_probing as sparse_probing
from .speed.capture import bench_capture as bench_capture
from .speed.codebook_config import CodebookBenchConfig as CodebookBenchConfig
from .speed.codebooks import bench_codebooks as bench_codebooks
from .speed.config import (
    CaptureBenchConfig as CaptureBenchConfig,
    GraphBenchConfig as GraphBenchConfig,
    KernelBenchConfig as KernelBenchConfig,
    TrainingBenchConfig as TrainingBenchConfig,
)
from .speed.graphs import bench_graphs as bench_graphs
from .speed.kernels import bench_kernels as bench_kernels
from .speed.mask_config import MaskBenchConfig as MaskBenchConfig
from .speed.profile_config import ProfileBenchConfig as ProfileBenchConfig
from .speed.sparsity import bench_sparsity as bench_sparsity
from .speed.sparsity_config import SparsityBenchConfig as SparsityBenchConfig
from .speed.training import bench_training as bench_training
from .stability import stability as stability
