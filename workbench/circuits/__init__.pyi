from .acdc import acdc as acdc
from .agreement import agreement as agreement, band_table as band_table
from .analysis import Analysis as Analysis, analyse as analyse
from .attribution_patch import attribution_patch as attribution_patch
from .baselines import mean_difference as mean_difference, random_scores as random_scores
from .circuit_check import check_circuit as check_circuit
from .circuit_file import read_circuit as read_circuit, write_circuit as write_circuit
from .compare_graphs import compare as compare, overlap as overlap
from .component_config import (
    AcdcConfig as AcdcConfig,
    AttributionConfig as AttributionConfig,
    CircuitCheckConfig as CircuitCheckConfig,
    ComponentConfig as ComponentConfig,
    FaithfulnessConfig as FaithfulnessConfig,
    PatchConfig as PatchConfig,
    PathPatchConfig as PathPatchConfig,
    PositionPatchConfig as PositionPatchConfig,
)
from .components import Components as Components
from .config import (
    PathConfig as PathConfig,
    PruneConfig as PruneConfig,
    SumConfig as SumConfig,
    Target as Target,
    TraceConfig as TraceConfig,
    ValidateConfig as ValidateConfig,
)
from .contrast import Contrast as Contrast, contrast_of as contrast_of
from .direct_effects import direct_effects as direct_effects
from .discrete import (
    discrete as discrete,
    discrete_from_rows as discrete_from_rows,
    read_outputs as read_outputs,
)
from .discrete_config import DiscreteConfig as DiscreteConfig, DiscreteSweepConfig as DiscreteSweepConfig
from .eap import eap as eap
from .edge_heads import edge_heads as edge_heads
from .faithfulness import faithfulness as faithfulness
from .group import (
    Grouping as Grouping,
    Supernode as Supernode,
    grouped_edges as grouped_edges,
    likeness as likeness,
    suggest_groups as suggest_groups,
)
from .group_config import CompareConfig as CompareConfig, GroupConfig as GroupConfig, MergeConfig as MergeConfig
from .group_effect import group_effect as group_effect
from .intervene import intervene as intervene
from .intervene_config import InterveneConfig as InterveneConfig, Intervention as Intervention
from .invariant import (
    Reading as Reading,
    connections as connections,
    de_embedding as de_embedding,
    invariant_circuit as invariant_circuit,
    invariant_connection as invariant_connection,
    reading as reading,
    strongest_heads as strongest_heads,
    through as through,
)
from .invariant_paths import Factors as Factors, Path as Path, PathSearch as PathSearch, Step as Step, factor as factor
from .ledger import error_ledger as error_ledger
from .match import matching as matching
from .measure import Measurements as Measurements
from .merge import merge as merge, merged_graph as merged_graph
from .neurons import neuron_set as neuron_set
from .patch import patch as patch
from .patch_positions import patch_positions as patch_positions
from .path_patch import path_patch as path_patch
from .path_search import find_paths as find_paths
from .paths import strongest_paths as strongest_paths
from .prune import edge_influence as edge_influence, prune as prune
from .replacement import LocalReplacement as LocalReplacement, replace_mlps as replace_mlps
from .score_comparison import auroc as auroc, compare_scores as compare_scores, truth_auroc as truth_auroc
from .sums import check_sums as check_sums, target_of as target_of
from .target import Metric as Metric, resolve as resolve
from .top_units import top_units as top_units
from .top_units_config import TopUnitsConfig as TopUnitsConfig
from .trace import trace as trace
from .units import LayerUnits as LayerUnits
from .validate import validate as validate
