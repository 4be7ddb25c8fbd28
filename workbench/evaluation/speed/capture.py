"""Capture of a residual stream beside a plain Hugging Face hook with early exit and the bare products up to there."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from sparse_kernels import PackedWeight, can_pack, speed
from workbench.core import ConfigError, Progress, Result, Silent, Site, register
from workbench.models import HookedModel, PlainModel, load_model, load_plain

from .comparison import Comparison, Operands, compare, device_of, threads
from .config import CaptureBenchConfig

OURS, UNPACKED, FORCED = "capture", "capture, weights unpacked", "capture, weights packed"
HUGGING_FACE = "Hugging Face hook, early exit"
PACKED, PLAIN_PRODUCTS = "bare products, packed weights", "bare products, F.linear"
_DTYPES = ("float32", "bfloat16")


@register("benchmark", "capture")
def bench_capture(config: CaptureBenchConfig | None = None, progress: Progress | None = None) -> Result:
    """Time and transient memory of a capture in float32 and bfloat16.

    Table `capture`: one row for each case. Scalars, per dtype: `relative_error` (against the hook, in the norm of all
    rows), `packed_mb` (memory that packed weights take) and `packs` (1 where they are the default on this machine).

    Raises:
        ConfigError: a layer that the model lacks, a text longer than its context, or a device other than the CPU.
        ModelError: see `load_model`. Interrupted: cancelled before anything was measured.
    """
    config, progress = (config or CaptureBenchConfig()).reduced(), progress or Silent()
    if config.device not in ("auto", "cpu"):
        raise ConfigError("packed weights are for the CPU", f"found the device {config.device}", "use --device cpu")
    config = config.model_copy(update={"device": "cpu"})
    scalars: dict[str, float] = {}
    with threads(config):
        result = compare("capture", _comparisons(config, scalars, progress), config, progress, _NOTES)
    return dataclasses.replace(result, scalars={**result.scalars, **scalars})


def _comparisons(config: CaptureBenchConfig, scalars: dict[str, float], progress: Progress) -> Iterator[Comparison]:
    operands = Operands(config.seed, device_of(config))
    for dtype in _DTYPES:
        models = {
            name: load_model(
                config.model, device="cpu", dtype=dtype, offline=config.offline, packed=packed, progress=progress
            )
            for name, packed in ((OURS, True), (UNPACKED, False))
        }
        plain = load_plain(config.model, dtype=dtype, offline=config.offline, progress=progress)
        ids = operands.index(config.sequences, config.sequence_length, below=_fitting(config, models[OURS]))
        site = Site("resid_post", config.layer)
        wanted, found = plain.capture(ids, config.layer).double(), models[OURS].capture(ids, [site])[site].double()
        packs = models[OURS].memory().packed > 0
        if not packs and models[UNPACKED].pack(force=True):
            # The default does not pack here: show what packing would give instead of what it already is.
            models[FORCED] = models.pop(UNPACKED)
            models[FORCED].capture(ids, [site])
        scalars[f"relative_error_{dtype}"] = float((found - wanted).norm() / wanted.norm())
        scalars[f"packed_mb_{dtype}"] = max(model.memory().packed for model in models.values()) / 1e6
        scalars[f"packs_{dtype}"] = float(packs)
        yield _comparison(config, dtype, models, plain, ids)


def _comparison(
    config: CaptureBenchConfig, dtype: str, models: dict[str, HookedModel], plain: PlainModel, ids: Tensor
) -> Comparison:
    site = Site("resid_post", config.layer)
    weights = list(plain.linear_weights(config.layer))
    flops = 2.0 * ids.numel() * sum(weight.numel() for weight in weights)
    rows = {weight.shape[1]: torch.randn(ids.numel(), weight.shape[1]).to(weight.dtype) for weight in weights}
    cases = [
        speed.Case(name, lambda model=model: model.capture(ids, [site]), "torch", flops)
        for name, model in models.items()
    ]
    cases += [
        speed.Case(HUGGING_FACE, lambda: plain.capture(ids, config.layer), "torch", flops),
        speed.Case(PLAIN_PRODUCTS, _products(weights, rows, torch.nn.functional.linear), "torch", flops),
    ]
    floor = PLAIN_PRODUCTS
    if can_pack(weights[0].dtype):
        packed = [PackedWeight(weight) for weight in weights]
        cases.append(speed.Case(PACKED, _products(packed, rows, lambda x, weight: weight(x)), "oneDNN", flops))
        floor = PACKED
    shape = f"{config.sequences} x {config.sequence_length} tokens to layer {config.layer}"
    return Comparison(f"capture {config.model}", shape, dtype, tuple(cases), floor, HUGGING_FACE)


def _products(weights: list[Any], rows: dict[int, Tensor], multiply: Callable[[Tensor, Any], Tensor]) -> Callable:
    """Every product once, each into fresh memory, none of them kept."""

    @torch.no_grad()
    def run() -> None:
        for weight in weights:
            plain = weight.plain if isinstance(weight, PackedWeight) else weight
            multiply(rows[plain.shape[1]], weight)

    return run


def _fitting(config: CaptureBenchConfig, model: HookedModel) -> int:
    """The vocabulary's size, once layer and length are known to fit the model."""
    shape = model.shape
    if config.layer >= shape.n_layers:
        raise ConfigError(f"wanted layer {config.layer}", f"layers run from 0 to {shape.n_layers - 1}")
    if config.sequence_length > shape.n_ctx:
        raise ConfigError(f"wanted {config.sequence_length} tokens", f"the model's context holds {shape.n_ctx}")
    return shape.d_vocab


_NOTES = (
    f"{PACKED}: torch.ops.mkldnn._linear_pointwise with weights packed beforehand, all linear products up to that "
    "layer, each into fresh memory.",
    f"{OURS}: as load_model gives it on this processor; where it packs, {UNPACKED!r} shows it without, elsewhere "
    f"{FORCED!r} shows it with packed weights.",
    f"{HUGGING_FACE}: a model loaded by itself, with the attention that Hugging Face prefers.",
)
