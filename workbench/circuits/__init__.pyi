from .agreement import agreement as agreement, band_table as band_table
from .analysis import Analysis as Analysis, analyse as analyse
from .config import (
    PruneConfig as PruneConfig,
    SumConfig as SumConfig,
    Target as Target,
    TraceConfig as TraceConfig,
    ValidateConfig as ValidateConfig,
)
from .measure import Measurements as Measurements
from .prune import edge_influence as edge_influence, prune as prune
from .replacement import LayerUnits as LayerUnits, LocalReplacement as LocalReplacement, replace_mlps as replace_mlps
from .sums import check_sums as check_sums, target_of as target_of
from .target import Metric as Metric, resolve as resolve
from .trace import trace as trace
from .validate import validate as validate
