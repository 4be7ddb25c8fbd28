from .affine import AffineMap as AffineMap
from .base import (
    Dictionary as Dictionary,
    Readers as Readers,
    load_dictionary as load_dictionary,
    make_dictionary as make_dictionary,
)
from .coder import Coder as Coder
from .collection import (
    DictionarySet as DictionarySet,
    dictionaries_for_layers as dictionaries_for_layers,
    load_dictionaries as load_dictionaries,
)
from .config import AffineConfig as AffineConfig, CoderConfig as CoderConfig
from .gates import Gate as Gate
from .initialise import Affine as Affine, AffineFit as AffineFit, Scale as Scale, median_norm as median_norm
