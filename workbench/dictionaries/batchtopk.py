"""BatchTopK and Matryoshka: a budget of active features for the batch, a threshold for the single row."""

from typing import Any

import torch
from torch import Tensor

from workbench.core import Codes, register

from .active import Active, above, batch_topk, part
from .gates import Gate, Terms, annealed
from .objective import Objective


@register("gate", "batchtopk")
class BatchTopK(Gate):
    """Training keeps the n * k largest of ReLU(W x + b) in the batch (Bussmann et al. 2024, "BatchTopK").

    A single row has no batch: inference keeps what exceeds a threshold, the running mean of the smallest activation
    that was kept (section 3.1 there: its expectation over batches). It is a buffer, saved with the weights.
    """

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.k, self.k_start = config.k, config.k_start
        self.rate: float = config.threshold_rate
        self.register_buffer("threshold", torch.zeros(()))
        self.threshold: Tensor

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor) -> Codes:
        return above(x, weight, bias, self.threshold)

    def learn(self, x: Tensor, weight: Tensor, bias: Tensor, objective: Objective) -> tuple[Active, Terms]:
        k = round(annealed(self.k, self.k_start, objective.sparsity))
        codes = batch_topk(x, weight, bias, min(k, len(weight)))
        if codes.value.numel():
            self.threshold.lerp_(codes.value.detach().min(), self.rate)
        return codes, {}

    @torch.no_grad()
    def calibrate_(self, x: Tensor, weight: Tensor, bias: Tensor) -> None:
        value = batch_topk(x, weight, bias, self.k).value
        if value.numel():
            self.threshold.copy_(value.min())


@register("gate", "matryoshka")
class Matryoshka(BatchTopK):
    """BatchTopK with a loss for every nested prefix of the features (Bussmann et al. 2025, "Matryoshka SAEs").

    The loss is the sum of the prefixes' reconstruction errors, so that the first features must explain by themselves
    and are not absorbed by the later ones. Default prefixes: groups of 1/32, 1/16, 1/8, 1/4 and the rest.
    """

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        ends = (max(1, round(share * config.d_sae)) for share in config.prefixes)
        self.ends: tuple[int, ...] = tuple(sorted({end for end in ends if end < config.d_sae}))

    def learn(self, x: Tensor, weight: Tensor, bias: Tensor, objective: Objective) -> tuple[Active, Terms]:
        codes, _ = super().learn(x, weight, bias, objective)
        assert isinstance(codes, Codes)
        nested = [objective.unexplained(part(codes, 0, end)) for end in self.ends]
        return codes, {"prefixes": torch.stack(nested).sum()} if nested else {}
