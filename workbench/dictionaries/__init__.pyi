from .affine import AffineMap as AffineMap
from .base import (
    Dictionary as Dictionary,
    Readers as Readers,
    load_dictionary as load_dictionary,
    make_dictionary as make_dictionary,
)
from .codebook import Codebook as Codebook
from .codebook_config import CodebookConfig as CodebookConfig
from .coder import SAE as SAE, Coder as Coder, SkipTranscoder as SkipTranscoder, Transcoder as Transcoder
from .collection import (
    DictionarySet as DictionarySet,
    load_dictionaries as load_dictionaries,
    site_name as site_name,
)
from .config import (
    FAMILIES as FAMILIES,
    AffineConfig as AffineConfig,
    BatchTopKConfig as BatchTopKConfig,
    CoderConfig as CoderConfig,
    CrossLayerConfig as CrossLayerConfig,
    GatedConfig as GatedConfig,
    JumpReLUConfig as JumpReLUConfig,
    MatryoshkaConfig as MatryoshkaConfig,
    ReLUConfig as ReLUConfig,
    SparseConfig as SparseConfig,
)
from .cross_layer import CrossLayerTranscoder as CrossLayerTranscoder
from .gates import Gate as Gate
from .imported import ImportedCoder as ImportedCoder, ImportedConfig as ImportedConfig
from .imported_cross_layer import ImportedCrossLayerConfig as ImportedCrossLayerConfig
from .initialise import Affine as Affine, AffineFit as AffineFit, Scale as Scale, median_norm as median_norm
from .key_value import KeyValue as KeyValue
from .key_value_config import KeyValueConfig as KeyValueConfig
from .key_value_keys import learn_keys as learn_keys
from .mlp_neurons import MLPNeurons as MLPNeurons, MLPNeuronsConfig as MLPNeuronsConfig
from .planar import planar as planar
from .sweep import Wanted as Wanted, dictionaries_for_layers as dictionaries_for_layers, new_set as new_set
