from .calibrate import (
    ALLOCATIONS as ALLOCATIONS,
    OWN_ALLOCATION as OWN_ALLOCATION,
    Allocation as Allocation,
    Calibration as Calibration,
    NeuronSample as NeuronSample,
    sample_neurons as sample_neurons,
)
from .choices import (
    Choice as Choice,
    FixedCore as FixedCore,
    TokenNeurons as TokenNeurons,
    TokenOracle as TokenOracle,
    hidden_of as hidden_of,
    rows_of as rows_of,
)
from .concentration import (
    coordinates_for as coordinates_for,
    gini as gini,
    hoyer as hoyer,
    top_mass as top_mass,
)
from .core_neurons import (
    Core as Core,
    CoreCounter as CoreCounter,
    core_size as core_size,
    overlap as overlap,
    random_core as random_core,
    sentence_core as sentence_core,
    token_core as token_core,
)
from .gates import (
    RULES as RULES,
    NeuronGate as NeuronGate,
    Rule as Rule,
    neuron_gate as neuron_gate,
    output_norms as output_norms,
)
from .generation_config import SparseGenerationConfig as SparseGenerationConfig
from .inference import SparseModel as SparseModel
from .profile import count_text as count_text, firing_limits as firing_limits, profile as profile
from .profile_config import ProfileConfig as ProfileConfig
from .sequences import activation_flow as activation_flow
from .stream import NeuronCounts as NeuronCounts, OutlierCounts as OutlierCounts, stream as stream
