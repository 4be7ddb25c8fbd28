"""Steering: what a list of edits does to what the model says next, and what it costs, beside controls."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from math import exp
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.core import Edit, Progress, Result, Silent
from workbench.models import Generation, Sampling, TokenBatch

from .bench import Bench
from .feature_scan import FeatureScan
from .steer_config import SteerConfig, SteeringEdit
from .steer_edits import Steering


@torch.no_grad()
def steer(
    bench: Bench,
    prompt: str,
    edits: Sequence[SteeringEdit],
    config: SteerConfig | None = None,
    scan: FeatureScan | None = None,
    progress: Progress | None = None,
) -> Result:
    """A prompt continued with and without some edits, with controls: the wrong sign, random directions of equal norm.

    KL(unedited || edited) and the next tokens are of one text for all, the prompt with the unedited continuation.
    Perplexity is that of each generated text under the unedited model; repetition the share of its 3-grams that it
    had before.

    Tables: `runs` (condition, seed, text, perplexity, repetition, kl: mean over positions, kl_last: at the prompt's
    end), `tokens` (condition, position, token, generated, kept: stands in the unedited continuation too, surprise
    under the unedited model), `kl` (position, token, kl of the edited run and of each control), `next_tokens` (token,
    unedited, edited, difference, log_ratio), `edits` (title, sigma). Cancelled: the runs made so far, marked partial.
    """
    config, progress = config or SteerConfig(), progress or Silent()
    steering = Steering(bench, prompt, tuple(edits), scan)
    conditions = _conditions(steering, config)
    progress.phase("steering", len(conditions), "runs")
    batch = TokenBatch(
        torch.tensor([steering.tokens] * config.samples), torch.full((config.samples,), len(steering.tokens))
    )
    runs: list[dict[str, Any]] = []
    tokens: list[dict[str, Any]] = []
    kl_rows: list[dict[str, Any]] = []
    next_rows: list[dict[str, Any]] = []
    base: Said | None = None
    for name, seed, made in conditions:
        if progress.cancelled():
            break
        said = say(bench, batch, made, config, base)
        base = base or said
        runs += [run_row(name, seed, said, sample) for sample in range(config.samples)]
        if name in ("unedited", "edited", "wrong sign"):
            tokens += _token_rows(bench, name, said, base)
        if name == "edited":
            next_rows = _next_tokens(bench, base, said, len(steering.tokens) - 1, config.top)
        if name != "unedited":
            label = name if seed is None else f"{name} {seed}"
            kl_rows += _kl_rows(bench, label, said, base)
        progress.advance()
        progress.partial({"runs": list(runs)})
    return Result(
        "steering",
        {f"kl_{name.replace(' ', '_')}": _mean([r["kl"] for r in runs if r["condition"] == name])
         for name in dict.fromkeys(row["condition"] for row in runs) if name != "unedited"},
        {
            "runs": runs,
            "next_tokens": next_rows,
            "tokens": tokens,
            "kl": kl_rows,
            "edits": [
                {"title": edit.title, "sigma": steering.sigma(n), "unit": edit.unit, "strength": edit.strength}
                for n, edit in enumerate(edits)
            ],
        },
        params={"prompt": prompt, "edits": [edit.model_dump() for edit in edits], **config.model_dump(mode="json")},
        inputs={"model": bench.model.ref.weight_hash, **(scan.inputs() if scan else {})},
        notes=(
            "KL in nats, of one text for all: the prompt with the unedited continuation. Perplexity: of the generated "
            "text under the unedited model. Controls: the opposite sign (of a code: the code "
            "negated); random directions as long as what is written (of a code: another code of its codebook).",
        ),
        seed=config.seed,
        partial=len({(r["condition"], r["seed"]) for r in runs}) < len(conditions),
    )  # fmt: skip


def _conditions(steering: Steering, config: SteerConfig) -> list[tuple[str, int | None, list[Edit]]]:
    found: list[tuple[str, int | None, list[Edit]]] = [
        ("unedited", None, steering.bench.in_force()),
        ("edited", None, steering.in_force()),
    ]
    if config.wrong_sign:
        found.append(("wrong sign", None, steering.in_force(-1.0)))
    return found + [
        ("random direction", seed, steering.in_force(random=config.seed + seed))
        for seed in range(1, config.random_directions + 1)
    ]


@dataclass(frozen=True)
class Said:
    """One condition: its continuation, log-probabilities of the common text, surprises of its own under no edit."""

    made: Generation
    log_probs: Float[Tensor, "t v"]
    kl: Float[Tensor, " t"]
    surprise: Float[Tensor, "n t"]

    @property
    def ids(self) -> Int[Tensor, "n t"]:
        return self.made.ids


def say(bench: Bench, batch: TokenBatch, edits: list[Edit], config: SteerConfig, base: Said | None) -> Said:
    weights = bench.weights or None
    if config.new_tokens:
        sampling = Sampling(temperature=config.temperature, stop_at_eos=False)
        made = bench.model.generate(batch, config.new_tokens, edits, sampling, config.seed, weights=weights)
    else:
        made = Generation(batch.ids, batch.lengths, batch.lengths, ("",) * len(batch.ids))
    common = (base.made if base else made).ids[:1]
    log_probs = _logits(bench, common, edits)[0].float().log_softmax(-1)
    kl = torch.zeros(len(log_probs))
    if base is not None:
        kl = (base.log_probs.exp() * (base.log_probs - log_probs)).sum(-1).clamp_min(0).cpu()
    own = _logits(bench, made.ids, bench.in_force()).float().log_softmax(-1)
    ids = made.ids.to(own.device)
    surprise = torch.zeros(ids.shape)
    surprise[:, 1:] = -own[:, :-1].gather(2, ids[:, 1:, None])[..., 0].cpu()
    return Said(made, log_probs, kl, surprise)


def _logits(bench: Bench, ids: Tensor, edits: list[Edit]) -> Tensor:
    lengths = torch.full((len(ids),), ids.shape[1])
    logits = bench.model.run(TokenBatch(ids, lengths), edits, weights=bench.weights or None).logits
    assert logits is not None
    return logits


def run_row(name: str, seed: int | None, said: Said, sample: int) -> dict[str, Any]:
    start, ids = int(said.made.prompt_lengths[sample]), said.ids[sample].tolist()
    new = said.surprise[sample, start:]
    return {
        "condition": name,
        "seed": seed,
        "sample": sample,
        "text": said.made.text[sample],
        "perplexity": exp(min(float(new.mean()), 50.0)) if len(new) else None,
        "repetition": repetition(ids[start:]),
        "kl": float(said.kl[1:].mean()) if len(said.kl) > 1 else 0.0,
        "kl_last": float(said.kl[start - 1]),
    }


def repetition(ids: Sequence[int], n: int = 3) -> float:
    """Share of the n-grams of some tokens that occurred before in them."""
    grams = [tuple(ids[i : i + n]) for i in range(len(ids) - n + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def _token_rows(bench: Bench, name: str, said: Said, base: Said) -> list[dict[str, Any]]:
    """The first sample, token by token, aligned with the unedited one."""
    ids, plain = said.ids[0].tolist(), base.ids[0].tolist()
    start = int(said.made.prompt_lengths[0])
    kept = [False] * len(ids)
    for a, b, size in SequenceMatcher(None, plain[start:], ids[start:], autojunk=False).get_matching_blocks():
        del a
        kept[start + b : start + b + size] = [True] * size
    kept[:start] = [True] * start
    return [
        {
            "condition": name,
            "position": at,
            "token": token,
            "id": ids[at],
            "generated": at >= start,
            "kept": kept[at],
            "surprise": float(said.surprise[0, at]),
        }
        for at, token in enumerate(bench.model.tokenizer.strings(ids))
    ]


def _kl_rows(bench: Bench, label: str, said: Said, base: Said) -> list[dict[str, Any]]:
    names = bench.model.tokenizer.strings(base.ids[0].tolist())
    return [
        {"condition": label, "position": at, "token": token, "kl": float(value)}
        for at, (token, value) in enumerate(zip(names, said.kl, strict=True))
    ]


def _next_tokens(bench: Bench, base: Said, said: Said, at: int, top: int) -> list[dict[str, Any]]:
    """What is most likely in either run, and what changes most, after the prompt."""
    plain, edited = base.log_probs[at].cpu(), said.log_probs[at].cpu()
    chosen = torch.cat([plain.topk(top).indices, edited.topk(top).indices]).unique().tolist()
    names = bench.model.tokenizer.strings(chosen)
    rows = [
        {
            "token": name,
            "id": i,
            "unedited": exp(float(plain[i])),
            "edited": exp(float(edited[i])),
            "difference": exp(float(edited[i])) - exp(float(plain[i])),
            "log_ratio": float(edited[i] - plain[i]),
        }
        for name, i in zip(names, chosen, strict=True)
    ]
    return sorted(rows, key=lambda row: -max(row["unedited"], row["edited"]))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
