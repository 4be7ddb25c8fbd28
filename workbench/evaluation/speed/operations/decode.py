"""decode, forward and with both gradients, beside a copy of the bytes and `embedding_bag`."""

from collections.abc import Callable, Iterator
from functools import partial

import torch

from sparse_kernels import decode, speed
from workbench.core import register
from workbench.evaluation.speed.comparison import Comparison, Operands
from workbench.evaluation.speed.config import KernelBenchConfig

PLAIN = "embedding_bag"


@register("kernel benchmark", "decode")
def comparisons(config: KernelBenchConfig, operands: Operands) -> Iterator[Comparison]:
    """Forward alone, then forward and backward, at every shape."""
    d, k = config.width, config.k
    for n, f in config.shapes():
        index, value = operands.index(n, k, below=f), operands.uniform(n, k)
        weight, upstream = operands.normal(f, d), operands.normal(n, d)
        leaves = value.clone().requires_grad_(), weight.clone().requires_grad_()
        bag, own = partial(_bag, index), partial(decode, index, backend=operands.backend)
        moved = 12.0 * n * k + 4.0 * n * k * d + 4.0 * n * d
        forward = partial(bag, value, weight), partial(own, value, weight)
        both = partial(_both_ways, bag, leaves, upstream), partial(_both_ways, own, leaves, upstream)
        shape = f"{n} x {k} of {f}, d {d}"
        yield _comparison("decode", shape, *forward, moved, operands)
        yield _comparison("decode + gradients", shape, *both, 3 * moved + 4.0 * f * d, operands)


def _bag(index: torch.Tensor, value: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.embedding_bag(index, weight, per_sample_weights=value, mode="sum")


def _both_ways(
    reconstruct: Callable[..., torch.Tensor], leaves: tuple[torch.Tensor, ...], upstream: torch.Tensor
) -> None:
    for leaf in leaves:
        leaf.grad = None
    reconstruct(*leaves).backward(upstream)


def _comparison(
    operation: str,
    shape: str,
    bag: Callable[[], object],
    own: Callable[[], object],
    moved: float,
    operands: Operands,
) -> Comparison:
    cases = (
        speed.copy_case(moved, operands.device),
        speed.Case(PLAIN, bag, floor_bytes=moved),
        speed.Case("decode", own, operands.backend, floor_bytes=moved),
    )
    return Comparison(operation, shape, "float32", cases, speed.COPY, PLAIN)
