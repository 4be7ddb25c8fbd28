"""encode_batch_topk beside the bare product, our own encode_topk, and a flat `topk` over the whole batch."""

from collections.abc import Iterator

import torch

from sparse_kernels import encode_batch_topk, encode_topk, speed
from workbench.core import register
from workbench.evaluation.speed.comparison import Comparison, Operands
from workbench.evaluation.speed.config import KernelBenchConfig

PLAIN = "matmul + flat topk"


@register("kernel benchmark", "encode_batch_topk")
def comparisons(config: KernelBenchConfig, operands: Operands) -> Iterator[Comparison]:
    """Every shape."""
    d, k = config.width, config.k
    for n, f in config.shapes():
        x, weight, bias = operands.normal(n, d), operands.normal(f, d) / d**0.5, operands.normal(f) / 10
        own = (x, weight, bias, k)
        cases = (
            *speed.product_cases(x, weight, bias),
            speed.Case(PLAIN, lambda own=own: _flat(*own)),
            speed.Case("encode_topk", lambda own=own: encode_topk(*own, backend=operands.backend), operands.backend),
            speed.Case(
                "encode_batch_topk",
                lambda own=own: encode_batch_topk(*own, backend=operands.backend),
                operands.backend,
            ),
        )
        shape = f"{n} x {f}, d {d}, {n} x {k} kept"
        yield Comparison("encode_batch_topk", shape, "float32", cases, speed.BARE, PLAIN)


def _flat(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, k: int) -> object:
    return torch.relu(torch.addmm(bias, x, weight.T)).flatten().topk(k * len(x))
