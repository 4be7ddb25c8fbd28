from . import speed as speed
from .activity import keep_topk_ as keep_topk_, note_firing_ as note_firing_
from .decoding import decode as decode
from .dense import linear as linear
from .dispatch import Backend as Backend
from .encoding import encode_topk as encode_topk
from .errors import KernelError as KernelError
from .gpu.compiled import compiled_kernels as compiled_kernels
from .masking import soft_mask_gradient as soft_mask_gradient, soft_masked as soft_masked
from .mlp import gather_mlp as gather_mlp, slice_mlp as slice_mlp, topk_mlp as topk_mlp
from .nearest import nearest_code as nearest_code, quantise as quantise, straight_through as straight_through
from .neurons import Neurons as Neurons
from .optimising import (
    adam_ as adam_,
    remove_radial_ as remove_radial_,
    row_sparse_adam_ as row_sparse_adam_,
    unit_norm_ as unit_norm_,
)
from .packed import PackedWeight as PackedWeight, can_pack as can_pack, packing_pays as packing_pays
from .precision import float32_only as float32_only
from .reconstruction import reconstruction_error as reconstruction_error, squared_deviation as squared_deviation
from .selection import encode_batch_topk as encode_batch_topk, encode_threshold as encode_threshold
from .tally import BINS as BINS, Tally as Tally, bin_edges as bin_edges, row_moments as row_moments
from .token import TokenMlp as TokenMlp
from .weight_gradients import (
    gradient_rows as gradient_rows,
    sparse_gradients as sparse_gradients,
    take_rows as take_rows,
)
