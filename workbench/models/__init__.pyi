from .frozen import FrozenModel as FrozenModel, freeze as freeze
from .frozen_attention import FrozenAttention as FrozenAttention
from .frozen_norm import FrozenNorm as FrozenNorm
from .generate import Generation as Generation
from .hooked import HookedModel as HookedModel
from .run import Run as Run
from .sampling import Sampling as Sampling
from .shape import ModelShape as ModelShape
from .tokens import TokenBatch as TokenBatch
from .wrap import wrap as wrap
