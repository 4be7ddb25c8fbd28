from .coding import coding_rate as coding_rate, subspace_rate as subspace_rate
from .convergent import convergence as convergence
from .convergent_config import ConvergentConfig as ConvergentConfig
from .direction import FittedProbe as FittedProbe, nearest_features as nearest_features, read_probe as read_probe
from .examples import Examples as Examples
from .geometry import geometry as geometry
from .geometry_config import GeometryConfig as GeometryConfig
from .heads import head_scores as head_scores
from .in_context import (
    Distances as Distances,
    distance_row as distance_row,
    distances as distances,
    interval as interval,
)
from .in_context_config import InContextConfig as InContextConfig
from .lens import Readout as Readout, logit_lens as logit_lens, readout as readout
from .lens_comparison import compare_lenses as compare_lenses
from .pooled_probe import PooledProbes as PooledProbes, pooled_probes as pooled_probes
from .probe_config import ProbeConfig as ProbeConfig
from .probing import probe_sites as probe_sites
from .progress import NotebookProgress as NotebookProgress
from .prompt import prompt_heads as prompt_heads, prompt_lens as prompt_lens
from .regression import (
    Predictor as Predictor,
    reference_predictors as reference_predictors,
    ridge as ridge,
    squared_difference as squared_difference,
    weight_difference as weight_difference,
)
from .representation_pairs import Similarity as Similarity, similarity as similarity
from .tuned_lens import (
    TunedLens as TunedLens,
    lens_sites as lens_sites,
    load_tuned_lens as load_tuned_lens,
    train_lens as train_lens,
)
from .tuned_lens_config import LensConfig as LensConfig
