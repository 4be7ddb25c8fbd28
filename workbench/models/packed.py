"""Frozen linear layers on weights packed once for the product that is fast on this processor.

The `forward` of a model's own linear layers is replaced on the instance; hooks, gradients to activations and the
weights themselves stay what they were. A weight that trains, is replaced for one run, or was changed since it was
packed never meets a stale copy: it runs unpacked, or is packed anew. (Writing through `weight.data` leaves no mark in
PyTorch: call `HookedModel.pack()` after it.)
"""

import logging
from collections.abc import Iterator
from typing import Any, NamedTuple

import psutil
import torch
from jaxtyping import Float
from torch import Tensor, nn

from sparse_kernels import PackedWeight, can_pack, packing_pays

_log = logging.getLogger(__name__)
_LEAST_ROWS = {torch.float32: 16, torch.bfloat16: 1}
"""Rows from which the packed product is the faster one; a single row in float32 is bound by reading the weight."""
_MOST_OF_MEMORY = 0.25
"""Of the machine's memory, for packed copies."""


class ModelMemory(NamedTuple):
    """Bytes of a model's weights, and of the packed copies of them made so far."""

    weights: int
    packed: int


class PackedForward:
    """Stands in for `forward` of one linear layer; packs its weight when it is first used."""

    def __init__(self, linear: nn.Module) -> None:
        self._linear, self._frozen = linear, linear.weight
        self._is_in_out = not isinstance(linear, nn.Linear)
        self._packed: PackedWeight | None = None
        self._mark: tuple[Any, ...] = ()

    def __call__(self, input: Float[Tensor, "*n d"]) -> Float[Tensor, "*n e"]:
        packed = self.ready(input)
        if packed is None:
            return type(self._linear).forward(self._linear, input)
        return packed(input, self.bias)

    def ready(self, x: Tensor) -> PackedWeight | None:
        """The packed weight if this input runs on it."""
        weight, bias = self._linear.weight, self.bias
        assert isinstance(weight, Tensor)
        if weight is not self._frozen or weight.requires_grad or (bias is not None and bias.requires_grad):
            return None
        if x.dtype != weight.dtype or x.device.type != "cpu" or weight.device.type != "cpu" or weight.is_inference():
            return None
        if x.numel() < _LEAST_ROWS.get(x.dtype, 1 << 62) * x.shape[-1] or x.numel() == 0:
            return None
        mark = (weight._version, weight.data_ptr(), weight.dtype)
        if self._packed is None or self._mark != mark:
            with torch.inference_mode(False):
                self._packed, self._mark = PackedWeight(weight.T if self._is_in_out else weight), mark
        return self._packed

    @property
    def bias(self) -> Tensor | None:
        bias = self._linear.bias
        assert bias is None or isinstance(bias, Tensor)
        return bias

    @property
    def nbytes(self) -> int:
        return 0 if self._packed is None else self._packed.nbytes

    def __getstate__(self) -> dict[str, Any]:
        # Copies and pickles carry no packed weight; they pack their own.
        return self.__dict__ | {"_packed": None, "_mark": ()}


def pack_linears(model: nn.Module, force: bool = False) -> bool:
    """Let a model's frozen linear layers run packed where that is faster; whether it is.

    Packed copies take as much memory again as the weights in use; they are made layer by layer when first used. A
    model whose copies could exceed a quarter of the machine's memory stays as it is. `force` packs wherever this
    build can, faster or not.
    """
    unpack_linears(model)
    linears = list(_linears(model))
    dtypes = {linear.weight.dtype for linear in linears}
    worth = all(can_pack(dtype) if force else packing_pays(dtype) for dtype in dtypes)
    if not linears or not worth or any(linear.weight.device.type != "cpu" for linear in linears):
        return False
    needed = sum(linear.weight.nbytes for linear in linears)
    if not force and needed > _MOST_OF_MEMORY * psutil.virtual_memory().total:
        _log.info("weights stay unpacked: copies of %.1f GB are too much for this machine", needed / 1e9)
        return False
    for linear in linears:
        linear.forward = PackedForward(linear)
    return True


def unpack_linears(model: nn.Module) -> None:
    """Give every linear layer its own `forward` back, and drop the packed copies."""
    for module in model.modules():
        if packed_forward(module) is not None:
            del module.__dict__["forward"]


def packed_forward(module: nn.Module) -> PackedForward | None:
    """What stands in for a layer's `forward`, if it runs packed."""
    forward = module.__dict__.get("forward")
    return forward if isinstance(forward, PackedForward) else None


def memory(model: nn.Module) -> ModelMemory:
    """Bytes of weights and packed copies; a tensor that is shared counts once."""
    weights = {parameter.data_ptr(): parameter.nbytes for parameter in model.parameters()}
    packed = (forward.nbytes for module in model.modules() if (forward := packed_forward(module)) is not None)
    return ModelMemory(sum(weights.values()), sum(packed))


def _linears(model: nn.Module) -> Iterator[Any]:
    from transformers.pytorch_utils import Conv1D

    for module in model.modules():
        if type(module) in (nn.Linear, Conv1D) and not any(parameter.is_meta for parameter in module.parameters()):
            yield module
