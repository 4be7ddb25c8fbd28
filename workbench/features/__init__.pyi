from .code_config import CodeSearchConfig as CodeSearchConfig
from .code_relations import code_relations as code_relations
from .code_search import (
    code_unit as code_unit,
    compile_pattern as compile_pattern,
    search_codes as search_codes,
    topic_codes as topic_codes,
)
from .code_stream import stream_codes as stream_codes
from .config import ScanConfig as ScanConfig
from .effects import unit_effects as unit_effects
from .scan import FeatureScan as FeatureScan, open_scan as open_scan, scan as scan
