"""nearest_code beside the bare product with the codebook, and dense distances with `topk`."""

from collections.abc import Iterator
from functools import partial

import torch

from sparse_kernels import nearest_code, speed
from workbench.core import register
from workbench.evaluation.speed.comparison import Comparison, Operands
from workbench.evaluation.speed.config import KernelBenchConfig

PLAIN = "dense nearness + topk"
NEAREST = 1


@register("kernel benchmark", "nearest_code")
def comparisons(config: KernelBenchConfig, operands: Operands) -> Iterator[Comparison]:
    """The nearest code of each row by every metric."""
    n, c, d = max(config.rows), config.codes, config.width
    x, codebook = operands.normal(n, d), operands.normal(c, d)
    for metric in ("dot", "cosine", "euclidean"):
        cases = (
            *speed.product_cases(x, codebook),
            speed.Case(PLAIN, partial(_dense, x, codebook, metric)),
            speed.Case(
                "nearest_code",
                partial(nearest_code, x, codebook, NEAREST, metric=metric, backend=operands.backend),
                operands.backend,
            ),
        )
        yield Comparison(f"nearest_code, {metric}", f"{n} x {c} codes, d {d}", "float32", cases, speed.BARE, PLAIN)


def _dense(x: torch.Tensor, codebook: torch.Tensor, metric: str) -> object:
    if metric == "euclidean":
        return torch.cdist(x, codebook).topk(NEAREST, largest=False)
    if metric == "cosine":
        x, codebook = (torch.nn.functional.normalize(each, dim=1) for each in (x, codebook))
    return (x @ codebook.T).topk(NEAREST)
