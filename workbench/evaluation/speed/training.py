"""Whole training steps: every kind of ours beside the bare encoder product and the same step in plain PyTorch.

A step is one batch through the training loop's own code: encode, decode, loss, all gradients with biases, the decoder's
gradient without its radial part, Adam, the decoder's norm, and the counters of rows since each feature fired.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from sparse_kernels import float32_only, speed
from workbench.core import Progress, Result, Silent, Site, register
from workbench.dictionaries import FAMILIES, Dictionary, make_dictionary
from workbench.training import Feed, Learner, TrainConfig

from .comparison import Comparison, Operands, compare, device_of, threads
from .config import TrainingBenchConfig
from .plain_step import PlainTopK

PLAIN = "plain PyTorch"
SITE = Site("resid_post", 0)
DEAD_SHARE = 10
"""One feature in so many is dead where AuxK is measured."""


@register("benchmark", "training")
def bench_training(config: TrainingBenchConfig | None = None, progress: Progress | None = None) -> Result:
    """Time and transient memory of a training step at every shape.

    Table `training`: one row for each case of each comparison.

    Raises:
        ConfigError: an unknown device.
        Interrupted: cancelled before anything was measured.
    """
    config = (config or TrainingBenchConfig()).reduced()
    with threads(config):
        return compare("training", _comparisons(config), config, progress or Silent(), _NOTES)


def _comparisons(config: TrainingBenchConfig) -> Iterator[Comparison]:
    operands = Operands(config.seed, device_of(config))
    for n, f in config.shapes():
        yield _comparison(config, operands, n, f)


def _comparison(config: TrainingBenchConfig, operands: Operands, n: int, f: int) -> Comparison:
    d, k = config.width, config.k
    x, weight = operands.normal(n, d), operands.normal(f, d) / d**0.5
    decoder = torch.nn.functional.normalize(operands.normal(f, d), dim=1)

    def coder(gate: str = "topk", **settings: Any) -> Dictionary:
        family = f"{gate}-sae"
        settings |= {"d_sae": f, "k": k, "unit_norm_decoder": True}
        made = make_dictionary(family, FAMILIES[family](**settings), {SITE: d}, {SITE: d})
        made.load_state_dict({"W_enc": weight, "W_dec": decoder}, strict=False)
        return made.to(x.device)

    auxiliary = coder(aux_k=d // 2)
    dead = slice(0, f // DEAD_SHARE)

    def bury() -> None:
        auxiliary.rows_since_fired[dead] = auxiliary.config.dead_after_rows

    cases = (
        *speed.product_cases(x, weight, torch.zeros(f, device=x.device)),
        _case(PLAIN, PlainTopK(coder()), x, "torch"),
        _case("TopK, float32 only", coder(), x, operands.backend, screened=False),
        _case("TopK", coder(), x, operands.backend),
        _case("TopK, row-sparse Adam", coder(), x, operands.backend, optimiser="row-sparse-adam"),
        _case("TopK, AuxK on a tenth", auxiliary, x, operands.backend, prepare=bury),
        _case("BatchTopK", coder("batchtopk"), x, operands.backend),
    )
    return Comparison("training step", f"{n} x {f}, d {d}, k {k}", "float32", cases, speed.BARE, PLAIN)


def _case(
    name: str,
    module: Any,
    x: Tensor,
    backend: str,
    *,
    screened: bool = True,
    optimiser: Any = "adam",
    prepare: Any = None,
) -> speed.Case:
    config = TrainConfig(optimiser=optimiser, lr=1e-4, warm_up=0, decay_share=0)
    learner = Learner(name, module, Feed({}, {}), config, total_steps=1)

    def step() -> None:
        with contextlib.nullcontext() if screened else float32_only():
            learner.optimise({SITE: x})

    return speed.Case(name, step, backend, prepare=prepare)


_NOTES = (
    "A step is one batch through the training loop: encode, decode, loss, all gradients, Adam, decoder norm, counters "
    f"of rows since a feature fired. {PLAIN}: five dense products, dense codes, the same optimiser and constraints. "
    f"AuxK: d / 2 features in a row of the {100 // DEAD_SHARE} % that are dead.",
)
