from .circuits import Target as Target, trace as trace, validate as validate
from .core import (
    CircuitGraph as CircuitGraph,
    Codes as Codes,
    CodeTweak as CodeTweak,
    Edit as Edit,
    Manifest as Manifest,
    MaskPolicy as MaskPolicy,
    Node as Node,
    Result as Result,
    Site as Site,
    Unit as Unit,
)
from .data import open_text as open_text, pack as pack
from .dictionaries import (
    Dictionary as Dictionary,
    DictionarySet as DictionarySet,
    load_dictionaries as load_dictionaries,
    load_dictionary as load_dictionary,
)
from .evaluation import evaluate as evaluate
from .models import HookedModel as HookedModel, load_model as load_model
from .store import ActivationStore as ActivationStore, capture as capture, open_store as open_store
from .training import fit as fit
from .workspace import Workspace as Workspace
