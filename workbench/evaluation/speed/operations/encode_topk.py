"""encode_topk beside the bare product, and `matmul` plus `topk`."""

from collections.abc import Iterator

import torch

from sparse_kernels import encode_topk, float32_only, speed
from workbench.core import register
from workbench.evaluation.speed.comparison import Comparison, Operands
from workbench.evaluation.speed.config import KernelBenchConfig

PLAIN = "matmul + topk"


@register("kernel benchmark", "encode_topk")
def comparisons(config: KernelBenchConfig, operands: Operands) -> Iterator[Comparison]:
    """Every shape, and one with many features for its memory."""
    for n, f in config.shapes():
        yield _comparison(config, operands, n, f)
    if config.memory_features:
        yield _comparison(config, operands, max(config.rows), config.memory_features, rounds=1)


def _comparison(config: KernelBenchConfig, operands: Operands, n: int, f: int, rounds: int | None = None) -> Comparison:
    d, k = config.width, config.k
    x, weight, bias = operands.normal(n, d), operands.normal(f, d) / d**0.5, operands.normal(f) / 10

    def own() -> object:
        return encode_topk(x, weight, bias, k, backend=operands.backend)

    def without_bfloat16() -> object:
        with float32_only():
            return own()

    cases = (
        *speed.product_cases(x, weight, bias),
        speed.Case(PLAIN, lambda: torch.relu(torch.addmm(bias, x, weight.T)).topk(k)),
        speed.Case("encode_topk, float32 only", without_bfloat16, operands.backend),
        speed.Case("encode_topk", own, operands.backend),
    )
    return Comparison("encode_topk", f"{n} x {f}, d {d}, k {k}", "float32", cases, speed.BARE, PLAIN, rounds)
