from .agreement import agreement as agreement, band_table as band_table
from .analysis import Analysis as Analysis, analyse as analyse
from .measure import Measurements as Measurements
from .prune import PruneConfig as PruneConfig, edge_influence as edge_influence, prune as prune
from .replacement import LayerUnits as LayerUnits, LocalReplacement as LocalReplacement, replace_mlps as replace_mlps
from .sums import SumConfig as SumConfig, check_sums as check_sums, target_of as target_of
from .target import Metric as Metric, Target as Target, resolve as resolve
from .trace import TraceConfig as TraceConfig, trace as trace
from .validate import ValidateConfig as ValidateConfig, validate as validate
