"""A step of mask training beside a plain forward and backward pass of the same model."""

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from sparse_kernels import speed
from workbench.core import Progress, Result, Silent, register
from workbench.models import HookedModel, PlainModel, TokenBatch, load_model, load_plain
from workbench.subnetworks import MaskConfig, MaskLearner, Masks, OwnBigrams
from workbench.training import next_token_losses

from .comparison import Comparison, Operands, compare, device_of, threads
from .mask_config import MaskBenchConfig

PLAIN, BRIDGE, OURS = "plain forward and backward", "through the bridge", "step of mask training"


@register("benchmark", "masks")
def bench_masks(config: MaskBenchConfig | None = None, progress: Progress | None = None) -> Result:
    """Time a step of mask training towards the model's own bigrams, and count its memory.

    Tables `masks` (one row for each case) and `memory` (weights, masks, two moments, and the largest gradient and
    masked weight, of which one exists at a time).

    Raises:
        ModelError: see `load_model`. Interrupted: cancelled before anything was measured.
    """
    config, progress = (config or MaskBenchConfig()).reduced(), progress or Silent()
    operands = Operands(config.seed, device_of(config))
    model = load_model(config.model, device=config.device, dtype=config.dtype, offline=config.offline, packed=False)
    size = config.sequences, config.sequence_length
    ids = (model.shape.d_vocab ** operands.uniform(*size)).long().clamp_max(model.shape.d_vocab - 1)
    plain = load_plain(config.model, dtype=config.dtype, offline=config.offline, progress=progress)
    learner = MaskLearner("benchmark", Masks(model), OwnBigrams(model), MaskConfig(penalty=1.0, settled=0))
    cases = (
        speed.Case(PLAIN, plain_step(plain, ids), "torch"),
        speed.Case(BRIDGE, bridge_step(model, ids), "torch"),
        speed.Case(OURS, lambda: learner.optimise(batch_of(ids)), operands.backend),
    )
    shape = f"{config.model}, {config.sequences} x {config.sequence_length} tokens"
    with threads(config):
        comparison = Comparison("step of mask training", shape, config.dtype, cases, PLAIN, PLAIN)
        result = compare("masks", [comparison], config, progress, _NOTES)
    memory = mask_memory(learner)
    return dataclasses.replace(result, tables={**result.tables, "memory": [memory]})


def batch_of(ids: Tensor) -> TokenBatch:
    """Sequences without padding."""
    return TokenBatch(ids, torch.full((len(ids),), ids.shape[1], device=ids.device))


def plain_step(plain: PlainModel, ids: Tensor) -> Callable[[], Any]:
    """Next-token loss and every gradient of Hugging Face's own module; gradients are dropped as they are complete."""
    module, lengths = plain.model.to(ids.device).requires_grad_(True), batch_of(ids).lengths
    for parameter in module.parameters():
        parameter.register_post_accumulate_grad_hook(_drop)

    def step() -> float:
        loss = next_token_losses(module(input_ids=ids, use_cache=False).logits, ids, lengths).mean()
        loss.backward()
        return float(loss.detach())

    return step


def bridge_step(model: HookedModel, ids: Tensor) -> Callable[[], Any]:
    """The same through the workbench's door, gradients to the matrices of attention and MLPs."""
    params, lengths = model.params(), batch_of(ids).lengths
    weights = {name: params[name].detach().requires_grad_() for name in model.matrices()}
    for weight in weights.values():
        weight.register_post_accumulate_grad_hook(_drop)

    def step() -> float:
        logits = model.run(ids, weights=weights).logits
        assert logits is not None
        loss = next_token_losses(logits, ids, lengths).mean()
        loss.backward()
        return float(loss.detach())

    return step


def mask_memory(learner: MaskLearner) -> dict[str, float]:
    """Megabytes that mask training holds beside activations."""
    masks = learner.module
    sizes = [logits.nbytes for _, logits in masks.named_logits()]
    weight = masks.model.dtype.itemsize
    moments = sum(
        value.nbytes for state in learner.optimiser.state.values() for key, value in state.items() if key != "step"
    )
    return {
        "weights_mb": masks.model.memory().weights / 1e6,
        "masks_mb": sum(sizes) / 1e6,
        "moments_mb": moments / 1e6,
        "largest_gradient_mb": max(sizes) / 1e6,
        "largest_masked_weight_mb": max(sizes) / 4 * weight / 1e6,
        "packed_mb": masks.model.memory().packed / 1e6,
        "gradients_left_mb": sum(own.grad.nbytes for own in masks.parameters() if own.grad is not None) / 1e6,
    }


def _drop(parameter: Tensor) -> None:
    parameter.grad = None


_NOTES = (
    "Tokens are drawn by Zipf's law, as text has them, which decides how many bigrams a step looks up.",
    f"{PLAIN}: Hugging Face's own module, next-token loss, gradients of all weights, no optimiser. {OURS}: the masked "
    "forward pass, the model's own bigrams as target (kept after the first look), backward, and Adam on every mask. "
    "Each mask moves as soon as its gradient is complete, so that one matrix's gradient exists at a time.",
)
