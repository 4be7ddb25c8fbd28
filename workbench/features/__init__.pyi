from .bench import Bench as Bench
from .card import feature_card as feature_card, occurrences as occurrences
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
from .code_use import (
    code_contexts as code_contexts,
    code_lift as code_lift,
    code_use as code_use,
    scanned_relations as scanned_relations,
)
from .config import CardConfig as CardConfig, ScanConfig as ScanConfig, SearchConfig as SearchConfig
from .contrast import contrast_texts as contrast_texts
from .direction import direction_file as direction_file, direction_json as direction_json
from .dose import dose_curve as dose_curve
from .effects import (
    measured_effects as measured_effects,
    promoted_tokens as promoted_tokens,
    unit_effects as unit_effects,
    windows as windows,
)
from .feature_scan import FeatureScan as FeatureScan, has_statistics as has_statistics, open_scan as open_scan
from .label import (
    Firing as Firing,
    firing as firing,
    label_units as label_units,
)
from .label_config import LabelConfig as LabelConfig
from .label_explainer import (
    Explainer as Explainer,
    ModelExplainer as ModelExplainer,
    Passage as Passage,
    ServerExplainer as ServerExplainer,
    explain_units as explain_units,
)
from .label_rules import Rule as Rule, rule_table as rule_table
from .pair import compare_units as compare_units
from .relations import coactive as coactive, connections as connections, similar_units as similar_units
from .scan import scan as scan
from .search import (
    search_labels as search_labels,
    search_pattern as search_pattern,
    search_token as search_token,
)
from .steer import repetition as repetition, steer as steer
from .steer_config import (
    SteerConfig as SteerConfig,
    SteeringEdit as SteeringEdit,
    edits_from_json as edits_from_json,
    edits_to_json as edits_to_json,
    edits_to_python as edits_to_python,
)
from .text_search import activations_on as activations_on, active_units as active_units, search_text as search_text
from .unit_map import unit_map as unit_map
from .units import artifact_of as artifact_of, member_of as member_of, unit_of as unit_of
