from .code_config import CodeSearchConfig as CodeSearchConfig
from .code_marks import compile_pattern as compile_pattern, mark as mark
from .code_neurons import NeuronMatch as NeuronMatch, best_neurons as best_neurons
from .code_relations import code_relations as code_relations
from .code_search import (
    code_unit as code_unit,
    search_codes as search_codes,
    topic_codes as topic_codes,
)
from .code_stream import stream_codes as stream_codes
from .config import CardConfig as CardConfig, ScanConfig as ScanConfig, SearchConfig as SearchConfig
from .effects import unit_effects as unit_effects
from .feature_scan import FeatureScan as FeatureScan, has_statistics as has_statistics, open_scan as open_scan
from .scan import scan as scan
from .units import artifact_of as artifact_of, member_of as member_of, unit_of as unit_of
