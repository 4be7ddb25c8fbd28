"""Cached generation in which Edits meet the right absolute positions."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.core import Progress, RowContext, Site, SiteError, TextError, generator

from .run import Plan, Run
from .sampling import Sampling
from .shape import ModelShape
from .tokens import TokenBatch

# (ids, context, extra inputs of the model) -> Run with logits of the last position
Step = Callable[[Int[Tensor, "b t"], RowContext, dict[str, Any]], Run]


@dataclass(frozen=True)
class Generation:
    """Continued prompts.

    Attributes:
        ids: prompt and new tokens, right-padded. lengths: real tokens per row, a closing end-of-text included.
        prompt_lengths: where the new tokens begin.
        text: the new tokens of every row as text; empty without a tokenizer.
        activations: asked sites at every position that was fed to the model (all but the last new token),
            aligned with `ids`, zero beyond a row's end.
        partial: the work was cancelled; this is what existed.
    """

    ids: Int[Tensor, "b t"]
    lengths: Int[Tensor, " b"]
    prompt_lengths: Int[Tensor, " b"]
    text: tuple[str, ...] = ()
    activations: dict[Site, Tensor] = field(default_factory=dict)
    partial: bool = False


class Generator:
    """The state of one generation: rows are padded on the left, so that every step feeds one column."""

    def __init__(self, step: Step, plan: Plan, batch: TokenBatch, sampling: Sampling, tokenizer: Any) -> None:
        self.step, self.plan, self.sampling, self.tokenizer = step, plan, sampling, tokenizer
        self.prompt_lengths = batch.lengths
        width = batch.ids.shape[1]
        self.pad = width - batch.lengths
        self.ids = _shift(batch.ids, self.pad)
        self.eos = tokenizer.eos_id if tokenizer is not None and sampling.stop_at_eos else None
        self.done = torch.zeros(len(batch.ids), dtype=torch.bool, device=batch.ids.device)
        self.new = torch.zeros_like(batch.lengths)
        self.captured: dict[Site, list[Tensor]] = {site: [] for site in plan.sites}

    def run(self, count: int, seed: int, progress: Progress) -> Generation:
        """Generate up to `count` tokens per row."""
        from transformers import DynamicCache

        cache, sources = DynamicCache(), [generator(seed, "generate", row) for row in range(len(self.ids))]
        partial, fed = False, 0
        progress.phase("generate", count, "tokens")
        for _ in range(count):
            if progress.cancelled():
                partial = True
                break
            run = self._feed(fed, cache)
            fed = self.ids.shape[1]
            assert run.logits is not None
            self._append(choose(run.logits[:, -1].float(), self.sampling, sources))
            progress.advance(1)
            if self.tokenizer is not None:
                progress.partial(self._texts())
            if bool(self.done.all()):
                break
        return self._result(partial)

    def _feed(self, fed: int, cache: Any) -> Run:
        """Run the columns that the cache has not seen."""
        columns = torch.arange(self.ids.shape[1], device=self.ids.device)
        positions = columns - self.pad[:, None]
        inputs: dict[str, Any] = {"past_key_values": cache, "use_cache": True}
        inputs["position_ids"] = positions[:, fed:].clamp(min=0)
        if bool((self.pad > 0).any()):
            inputs["attention_mask"] = (positions >= 0).long()
        if "logits" not in self.plan.kinds:
            inputs["logits_to_keep"] = 1
        context = positions.clamp(min=-1)[:, fed:].masked_fill(self.done[:, None], -1)
        run = self.step(self.ids[:, fed:], RowContext(context, self.prompt_lengths), inputs)
        for site, x in run.activations.items():
            self.captured[site].append(x)
        return run

    def _append(self, chosen: Int[Tensor, " b"]) -> None:
        filler = 0 if self.eos is None else self.eos
        chosen = torch.where(self.done, filler, chosen)
        self.ids = torch.cat([self.ids, chosen[:, None]], 1)
        self.new += (~self.done).long()
        if self.eos is not None:
            self.done = self.done | (chosen == self.eos)

    def _texts(self) -> tuple[str, ...]:
        start = self.ids.shape[1] - int(self.new.max())
        return tuple(
            self.tokenizer.decode(row[start : start + int(count)].tolist())
            for row, count in zip(self.ids, self.new, strict=True)
        )

    def _result(self, partial: bool) -> Generation:
        ids, lengths = _shift(self.ids, -self.pad), self.prompt_lengths + self.new
        activations = {}
        for site, pieces in self.captured.items():
            if pieces:
                x = _shift(torch.cat(pieces, 1), -self.pad)
                real = torch.arange(x.shape[1], device=x.device) < lengths[:, None]
                activations[site] = x * real.reshape(*real.shape, *[1] * (x.ndim - 2)).to(x.dtype)
        text = self._texts() if self.tokenizer is not None else ()
        return Generation(ids, lengths, self.prompt_lengths, text, activations, partial)


def generate(
    step: Step,
    plan: Plan,
    batch: TokenBatch,
    count: int,
    sampling: Sampling,
    seed: int,
    progress: Progress,
    shape: ModelShape,
    tokenizer: Any,
) -> Generation:
    """Continue every prompt by up to `count` tokens.

    Raises:
        TextError: prompt and new tokens exceed the context. SiteError: a site with two position axes.
    """
    longest = int(batch.lengths.max())
    if longest + count > shape.n_ctx:
        raise TextError(
            f"prompt and new tokens exceed the model's context of {shape.n_ctx}",
            f"found {longest} + {count}",
            "ask for fewer new tokens or cut the prompt",
        )
    for site in plan.sites:
        if site.position_axis != 1:
            raise SiteError(f"{site} cannot be captured while generating", "its shape grows with every token")
    with torch.no_grad():
        return Generator(step, plan, batch, sampling, tokenizer).run(count, seed, progress)


def choose(logits: Float[Tensor, "b v"], sampling: Sampling, sources: list[torch.Generator]) -> Int[Tensor, " b"]:
    """The next token of every row; each row draws from its own random source."""
    if sampling.temperature == 0:
        return logits.argmax(-1)
    logits = logits / sampling.temperature
    if sampling.top_k is not None and sampling.top_k < logits.shape[-1]:
        least = logits.topk(sampling.top_k).values[:, -1:]
        logits = logits.masked_fill(logits < least, -torch.inf)
    probabilities = logits.softmax(-1).cpu()
    if sampling.top_p is not None:
        ordered, order = probabilities.sort(descending=True)
        outside = ordered.cumsum(-1) - ordered >= sampling.top_p
        probabilities = probabilities.masked_fill(torch.zeros_like(outside).scatter(1, order, outside), 0)
    drawn = [torch.multinomial(row, 1, generator=source) for row, source in zip(probabilities, sources, strict=True)]
    return torch.cat(drawn).to(logits.device)


def _shift(x: Tensor, amount: Int[Tensor, " b"]) -> Tensor:
    """Rotate every row along the position axis by its own amount to the right."""
    columns = (torch.arange(x.shape[1], device=x.device) - amount[:, None]) % x.shape[1]
    return x[torch.arange(len(x), device=x.device)[:, None], columns]
