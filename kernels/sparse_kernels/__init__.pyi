from . import speed as speed
from .decoding import decode as decode
from .dense import linear as linear
from .dispatch import Backend as Backend
from .encoding import encode_topk as encode_topk
from .errors import KernelError as KernelError
from .gpu.compiled import compiled_kernels as compiled_kernels
from .selection import encode_batch_topk as encode_batch_topk, encode_threshold as encode_threshold
