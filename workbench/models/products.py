"""Other products in place of a model's linear layers, for a while: how weights are masked without surgery."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor

Product = Callable[[Tensor, Tensor, Tensor | None], Tensor]
"""(input [*n in], weight [out, in] as the run has it, bias) -> output [*n out]."""


class OwnProduct:
    """Stands in for `forward` of one linear layer."""

    def __init__(self, linear: Any, product: Product, is_in_out: bool) -> None:
        self._linear, self._product, self._is_in_out = linear, product, is_in_out

    def __call__(self, input: Tensor) -> Tensor:
        weight = self._linear.weight
        return self._product(input, weight.T if self._is_in_out else weight, self._linear.bias)


@contextmanager
def products_in_force(layers: Mapping[Any, tuple[Product, bool]]) -> Iterator[None]:
    """Inside, every layer multiplies by its product (and whether it stores [in, out]); then as before."""
    before = {linear: linear.__dict__.get("forward") for linear in layers}
    try:
        for linear, (product, is_in_out) in layers.items():
            linear.forward = OwnProduct(linear, product, is_in_out)
        yield
    finally:
        for linear, forward in before.items():
            if forward is None:
                linear.__dict__.pop("forward", None)
            else:
                linear.forward = forward


def has_own_product(linear: Any) -> bool:
    """Whether a product stands in for this layer's own."""
    return isinstance(linear.__dict__.get("forward"), OwnProduct)
