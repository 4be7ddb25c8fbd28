"""The dose curve of some edits: what grows with their strength, and what it costs, beside random directions."""

from collections.abc import Sequence
from typing import Any

import torch

from workbench.core import ConfigError, Progress, Result, Silent
from workbench.models import TokenBatch

from .bench import Bench
from .feature_scan import FeatureScan
from .steer import run_row, say
from .steer_config import SteerConfig, SteeringEdit
from .steer_edits import Steering


@torch.no_grad()
def dose_curve(
    bench: Bench,
    prompt: str,
    edits: Sequence[SteeringEdit],
    target: str | None = None,
    config: SteerConfig | None = None,
    scan: FeatureScan | None = None,
    progress: Progress | None = None,
) -> Result:
    """A target token's probability after the prompt, KL, perplexity and repetition at growing strength of the edits.

    Strengths are multiples of the edits' own. Without a target, the token whose log-probability the edits raise most at
    strength 1. Controls write random directions of equal norm.

    Table `doses`: condition (edited, random direction), seed, strength, target_probability, kl_last, perplexity,
    repetition, text. Cancelled: the doses tried so far, marked partial.

    Raises:
        ConfigError: the target is no single token.
    """
    config, progress = config or SteerConfig(), progress or Silent()
    steering = Steering(bench, prompt, tuple(edits), scan)
    batch = TokenBatch(torch.tensor([steering.tokens]), torch.tensor([len(steering.tokens)]))
    at, once = len(steering.tokens) - 1, config.model_copy(update={"samples": 1})
    base = say(bench, batch, bench.in_force(), once, None)
    wanted = _target(bench, steering, batch, base, target, at, once)
    plans: list[tuple[str, int | None, float]] = [("edited", None, s) for s in config.strengths]
    plans += [("random direction", n, s) for n in range(1, config.random_directions + 1) for s in config.strengths if s]
    progress.phase("dose curve", len(plans), "doses")
    rows: list[dict[str, Any]] = []
    for name, seed, strength in plans:
        if progress.cancelled():
            break
        random = None if seed is None else config.seed + seed
        made = steering.in_force(strength, random) if strength else bench.in_force()
        said = say(bench, batch, made, once, base)
        probability = float(said.log_probs[at, wanted].exp())
        rows.append({**run_row(name, seed, said, 0), "strength": strength, "target_probability": probability})
        progress.advance()
        progress.partial(_result(bench, steering, rows, wanted, config, scan, partial=True))
    return _result(bench, steering, rows, wanted, config, scan, partial=len(rows) < len(plans))


def _target(
    bench: Bench, steering: Steering, batch: TokenBatch, base: Any, target: str | None, at: int, config: SteerConfig
) -> int:
    if target:
        ids = bench.model.tokenizer.encode(target)
        if len(ids) != 1:
            raise ConfigError(f"the target {target!r} is {len(ids)} tokens", hint="a leading space counts")
        return ids[0]
    said = say(bench, batch, steering.in_force(), config, base)
    change = said.log_probs[at] - base.log_probs[at]
    likely = torch.maximum(said.log_probs[at], base.log_probs[at])
    likely = likely.topk(min(50, len(likely))).indices
    return int(likely[change[likely].argmax()])


def _result(
    bench: Bench, steering: Steering, rows: list[dict[str, Any]], wanted: int, config: SteerConfig,
    scan: FeatureScan | None, partial: bool,
) -> Result:  # fmt: skip
    name = bench.model.tokenizer.strings([wanted])[0]
    return Result(
        "dose curve",
        tables={"doses": list(rows)},
        params={
            "prompt": steering.prompt,
            "target": name,
            "edits": [edit.model_dump() for edit in steering.edits],
            **config.model_dump(mode="json"),
        },
        inputs={"model": bench.model.ref.weight_hash, **(scan.inputs() if scan else {})},
        notes=(
            f"Probability of {name!r} after the prompt. Strength: multiples of the edits' own. Random directions write "
            "as much as the edits do.",
        ),
        seed=config.seed,
        partial=partial,
    )
