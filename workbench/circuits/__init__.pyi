from .acdc import acdc as acdc
from .agreement import agreement as agreement, band_table as band_table
from .analysis import Analysis as Analysis, analyse as analyse
from .attribution_patch import attribution_patch as attribution_patch
from .baselines import mean_difference as mean_difference, random_scores as random_scores
from .circuit_check import check_circuit as check_circuit
from .circuit_file import read_circuit as read_circuit, write_circuit as write_circuit
from .comparison import auroc as auroc, compare_scores as compare_scores, truth_auroc as truth_auroc
from .component_config import (
    AcdcConfig as AcdcConfig,
    AttributionConfig as AttributionConfig,
    CircuitCheckConfig as CircuitCheckConfig,
    ComponentConfig as ComponentConfig,
    FaithfulnessConfig as FaithfulnessConfig,
    PatchConfig as PatchConfig,
    PathPatchConfig as PathPatchConfig,
)
from .components import Components as Components
from .config import (
    PruneConfig as PruneConfig,
    SumConfig as SumConfig,
    Target as Target,
    TraceConfig as TraceConfig,
    ValidateConfig as ValidateConfig,
)
from .contrast import Contrast as Contrast, contrast_of as contrast_of
from .eap import eap as eap
from .faithfulness import faithfulness as faithfulness
from .ledger import error_ledger as error_ledger
from .measure import Measurements as Measurements
from .patch import patch as patch
from .path_patch import path_patch as path_patch
from .prune import edge_influence as edge_influence, prune as prune
from .replacement import LocalReplacement as LocalReplacement, replace_mlps as replace_mlps
from .sums import check_sums as check_sums, target_of as target_of
from .target import Metric as Metric, resolve as resolve
from .trace import trace as trace
from .units import LayerUnits as LayerUnits
from .validate import validate as validate
