"""gather_mlp and topk_mlp for one token, a quarter of the neurons, beside the dense MLP and a copy of the bytes."""

from collections.abc import Iterator
from functools import partial

import torch

from sparse_kernels import gather_mlp, speed, topk_mlp
from workbench.core import register
from workbench.evaluation.speed.comparison import Comparison, Operands
from workbench.evaluation.speed.config import KernelBenchConfig

PLAIN = "dense MLP"


@register("kernel benchmark", "gather_mlp")
def comparisons(config: KernelBenchConfig, operands: Operands) -> Iterator[Comparison]:
    """A gated MLP of SiLU in float32 and bfloat16; the floor is the bytes of the chosen neurons' weights."""
    d, m = config.mlp_width, config.neurons
    chosen = max(1, m // 4)
    for dtype in (torch.float32, torch.bfloat16):
        x = operands.normal(1, d, dtype=dtype)
        up, gate, down = (operands.normal(m, d, dtype=dtype) / d**0.5 for _ in range(3))
        index = torch.randperm(m, generator=torch.Generator().manual_seed(config.seed))[:chosen].sort().values
        index, transposed = index.to(operands.device), down.T.contiguous()
        moved = 3.0 * chosen * d * x.element_size()
        how = {"w_gate": gate, "backend": operands.backend}
        cases = (
            speed.copy_case(moved, operands.device),
            speed.Case(PLAIN, partial(_dense, x, up, gate, transposed), floor_bytes=3.0 * m * d * x.element_size()),
            speed.Case(
                "gather_mlp, a fixed quarter",
                partial(gather_mlp, x, up, down, index, **how),
                operands.backend,
                floor_bytes=moved,
            ),
            speed.Case(
                "topk_mlp, the token's own quarter", partial(topk_mlp, x, up, down, chosen, **how), operands.backend
            ),
        )
        shape = f"1 token, d {d}, {chosen} of {m} neurons"
        yield Comparison("gather_mlp", shape, str(dtype).removeprefix("torch."), cases, speed.COPY, PLAIN)


def _dense(x: torch.Tensor, up: torch.Tensor, gate: torch.Tensor, down: torch.Tensor) -> torch.Tensor:
    """`down` as nn.Linear has it."""
    linear = torch.nn.functional.linear
    return linear(torch.nn.functional.silu(linear(x, gate)) * linear(x, up), down)
