"""encode_threshold beside the bare product, and the dense scores zeroed below their threshold."""

from collections.abc import Iterator
from statistics import NormalDist

import torch

from sparse_kernels import encode_threshold, speed
from workbench.core import register
from workbench.evaluation.speed.comparison import Comparison, Operands
from workbench.evaluation.speed.config import KernelBenchConfig

PLAIN = "matmul + where + nonzero"


@register("kernel benchmark", "encode_threshold")
def comparisons(config: KernelBenchConfig, operands: Operands) -> Iterator[Comparison]:
    """Every shape, at the threshold that about k features of a row pass."""
    d, k = config.width, config.k
    for n, f in config.shapes():
        x, weight, bias = operands.normal(n, d), operands.normal(f, d) / d**0.5, operands.normal(f) / 10
        threshold = torch.full((f,), NormalDist().inv_cdf(1 - k / (f + 1)), device=operands.device).clamp(min=0)
        own = (x, weight, bias, threshold)
        cases = (
            *speed.product_cases(x, weight, bias),
            speed.Case(PLAIN, lambda own=own: _dense(*own)),
            speed.Case(
                "encode_threshold", lambda own=own: encode_threshold(*own, backend=operands.backend), operands.backend
            ),
        )
        shape = f"{n} x {f}, d {d}, about {k} a row"
        yield Comparison("encode_threshold", shape, "float32", cases, speed.BARE, PLAIN)


def _dense(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, threshold: torch.Tensor) -> object:
    scores = torch.addmm(bias, x, weight.T)
    kept = torch.where(scores > threshold, scores, 0.0)
    return kept.nonzero(), kept[kept > 0]
