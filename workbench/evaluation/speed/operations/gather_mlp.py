"""gather_mlp and topk_mlp for one token, a quarter of the neurons, beside the dense MLP and a copy of the bytes."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import cycle

import torch

from sparse_kernels import Neurons, gather_mlp, slice_mlp, speed, topk_mlp
from workbench.core import register
from workbench.evaluation.speed.comparison import Comparison, Operands
from workbench.evaluation.speed.config import KernelBenchConfig

PLAIN = "dense MLP"
LAYERS_BYTES = 256 << 20
"""Weights gone through in turn, as a model's layers are, so that no cache holds them all."""
MOST_LAYERS = 32


@register("kernel benchmark", "gather_mlp")
def comparisons(config: KernelBenchConfig, operands: Operands) -> Iterator[Comparison]:
    """A gated MLP of SiLU in float32 and bfloat16; the floor is the bytes of the chosen neurons' weights."""
    for dtype in (torch.float32, torch.bfloat16):
        yield _comparison(config, operands, dtype)


def _comparison(config: KernelBenchConfig, operands: Operands, dtype: torch.dtype) -> Comparison:
    d, m, backend = config.mlp_width, config.neurons, operands.backend
    chosen = max(1, m // 4)
    x = operands.normal(1, d, dtype=dtype)
    index = torch.randperm(m, generator=torch.Generator().manual_seed(config.seed))[:chosen].sort().values
    index = index.to(operands.device)
    count = max(2, min(MOST_LAYERS, LAYERS_BYTES // (3 * m * d * x.element_size())))
    layers = [_layer(operands, m, d, dtype) for _ in range(count)]
    cores = [slice_mlp(layer, index) for layer in layers]
    transposed = [layer._replace(w_out=layer.w_out.T.contiguous()) for layer in layers]
    moved = 3.0 * chosen * d * x.element_size()

    def core(w: Neurons) -> object:
        return gather_mlp(x, w.w_in, w.w_out, w_gate=w.w_gate, backend=backend)

    def gather(w: Neurons) -> object:
        return gather_mlp(x, w.w_in, w.w_out, index, w_gate=w.w_gate, backend=backend)

    def topk(w: Neurons) -> object:
        return topk_mlp(x, w.w_in, w.w_out, chosen, w_gate=w.w_gate, backend=backend)

    cases = (
        speed.copy_case(moved, operands.device),
        speed.Case(PLAIN, _in_turn(partial(_dense, x), transposed), floor_bytes=4 * moved),
        speed.Case("gather_mlp, a fixed quarter", _in_turn(core, cores), backend, floor_bytes=moved),
        speed.Case("gather_mlp, a quarter by index", _in_turn(gather, layers), backend, floor_bytes=moved),
        speed.Case("topk_mlp, the token's own quarter", _in_turn(topk, layers), backend, floor_bytes=2 * moved),
    )
    shape = f"1 token, d {d}, {chosen} of {m} neurons, {count} layers in turn"
    return Comparison("gather_mlp", shape, str(dtype).removeprefix("torch."), cases, speed.COPY, PLAIN)


def _layer(operands: Operands, m: int, d: int, dtype: torch.dtype) -> Neurons:
    up, gate, down = (operands.normal(m, d, dtype=dtype) / d**0.5 for _ in range(3))
    return Neurons(up, down, gate)


def _in_turn(call: Callable[[Neurons], object], layers: list[Neurons]) -> Callable[[], object]:
    turns = cycle(layers)
    return lambda: call(next(turns))


def _dense(x: torch.Tensor, weights: Neurons) -> torch.Tensor:
    """`w_out` transposed, as nn.Linear has it."""
    linear = torch.nn.functional.linear
    assert weights.w_gate is not None
    return linear(torch.nn.functional.silu(linear(x, weights.w_gate)) * linear(x, weights.w_in), weights.w_out)
