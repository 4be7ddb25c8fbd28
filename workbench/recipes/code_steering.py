"""Steer generation by activating the codes of a topic, beside random codes and no steering, with what it costs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp
from typing import Any

import numpy as np
import torch
from torch import Tensor

from workbench.core import (
    ConfigError,
    Edit,
    Interrupted,
    Progress,
    Result,
    Silent,
    TextError,
    Unit,
    child,
)
from workbench.data import PackedText
from workbench.dictionaries import Codebook
from workbench.evaluation import EvaluateConfig, proportion, ratio
from workbench.features import CodeSearchConfig, compile_pattern, topic_codes
from workbench.models import Generation, HookedModel, Sampling, TokenBatch

from .code_steering_config import PROMPTS, TOPICS, SteeringConfig
from .steered import SLOTS, Steered, by_member, random_codes


def steer_codes(
    steered: Steered,
    text: PackedText,
    topics: Mapping[str, str] | None = None,
    config: SteeringConfig | None = None,
    codes: Mapping[str, Sequence[Unit]] | None = None,
    prompts: Sequence[str] = PROMPTS,
    progress: Progress | None = None,
) -> Result:
    """Success and cost of steering towards topics, each told by a regular expression that was fixed before.

    Codes are the best of `topic_codes` on the training split, or those given. Success: the expression is found in
    what was generated. `sample_ce` is the cross-entropy of the generated tokens under the model without codebooks;
    `heldout_ce` that of held-out text while the codes are active, in nats a token.

    Tables: `steering` (topic, protocol, codes, success, sample_ce, heldout_ce, each with its interval), `codes`
    (what was activated), `samples` (every text).

    Raises:
        ConfigError: a code that no member has, or a member that is no codebook. Interrupted: cancelled.
    """
    for name, book in steered.books.items():
        if not isinstance(book, Codebook):
            raise ConfigError(f"steering by codes needs codebooks, {name} is a {book.family}", hint="see CodeTweak")
    config, topics, progress = config or SteeringConfig(), topics or TOPICS, progress or Silent()
    patterns = {topic: compile_pattern(pattern, None) for topic, pattern in topics.items()}
    search = CodeSearchConfig(sequences=config.search_sequences, rows=max(config.codes, 1))
    train, heldout = text.split("train"), _heldout(text, config)
    if codes is None:
        spread = _spread(train, config)
        found = topic_codes(steered.model, steered.books, spread, topics, search, steered.weights, progress)
        shown = [row for topic in topics for row in _of(found.tables["codes"], topic)[: config.codes]]
    else:
        shown = [{"topic": topic, "unit": str(unit)} for topic in topics for unit in codes.get(topic, ())]
    chosen = {
        topic: by_member(steered.books, [Unit.parse(row["unit"]) for row in _of(shown, topic)]) for topic in topics
    }
    plain = _measure(steered, steered.edits(), prompts, heldout, config, progress)
    model_ce = _cross_entropy(steered, heldout, [], {}, config)
    rows, samples = [], _samples("", "unsteered", plain)
    for topic, pattern in patterns.items():
        rows.append(_record(topic, "unsteered", {}, plain, pattern, config))
        sets = {"": chosen[topic]}
        if config.random_codes:
            sets["random "] = random_codes(steered.books, chosen[topic], child(config.seed, "random codes", topic))
        for label, members in sets.items():
            for protocol, slots in SLOTS.items():
                found = _measure(steered, steered.edits(members, slots), prompts, heldout, config, progress)
                rows.append(_record(topic, label + protocol, members, found, pattern, config))
                samples += _samples(topic, label + protocol, found)
                progress.partial(rows[-1])
    scalars = {
        "heldout_ce_model": model_ce.value,
        "heldout_ce_books": plain.heldout.value if plain.heldout else float("nan"),
    }
    scalars |= _means(rows)
    return Result(
        kind="code steering",
        scalars=scalars,
        tables={"steering": rows, "codes": shown, "samples": samples},
        params={"topics": dict(topics), "prompts": list(prompts), **config.model_dump(mode="json")},
        inputs={"codebooks": steered.books.manifest.content_hash if steered.books.manifest else ""},
        notes=(
            f"{len(prompts)} prompts x {config.samples} samples of {config.new_tokens} tokens at temperature "
            f"{config.temperature:g}; success: the topic's expression occurs in the generated text.",
            "one code: the weakest slots of each affected group; all codes: every slot. Random codes are as many codes "
            "of the same groups, drawn among those that the topic does not use.",
            "Intervals: Wilson's for success, percentile bootstrap over samples or documents for cross-entropies. "
            "sample_ce is under the model without codebooks, heldout_ce while the codes are active.",
        ),
        seed=config.seed,
    )


@dataclass(frozen=True)
class _Measured:
    texts: tuple[str, ...]
    prompts: tuple[str, ...]
    sample: Any
    heldout: Any


def _measure(
    steered: Steered,
    edits: list[Edit],
    prompts: Sequence[str],
    heldout: PackedText | None,
    config: SteeringConfig,
    progress: Progress,
) -> _Measured:
    repeated = tuple(prompt for prompt in prompts for _ in range(config.samples))
    sampling = Sampling(temperature=config.temperature, stop_at_eos=False)
    made = steered.model.generate(
        _prompt_tokens(steered.model, repeated), config.new_tokens, edits, sampling, config.seed, progress,
        weights=steered.weights or None,
    )  # fmt: skip
    if made.partial:
        raise Interrupted("steering was cancelled before every sample was made")
    cost = _cross_entropy(steered, heldout, edits, steered.weights, config)
    return _Measured(made.text, repeated, _sample_cross_entropy(steered.model, made, config), cost)


def _prompt_tokens(model: HookedModel, prompts: Sequence[str]) -> TokenBatch:
    """Prompts behind BOS; an empty one is BOS alone."""
    tokenizer = model.tokenizer
    head = [tokenizer.bos_id] if model.policy.prepend_bos and tokenizer.bos_id is not None else []
    rows = [[*head, *(tokenizer.encode(prompt) if prompt else [])] for prompt in prompts]
    if not all(rows):
        raise TextError("an empty prompt needs a begin-of-text token", hint="use a MaskPolicy that prepends BOS")
    ids = torch.full((len(rows), max(map(len, rows))), head[0] if head else 0)
    for place, row in zip(ids, rows, strict=True):
        place[: len(row)] = torch.tensor(row)
    return TokenBatch(ids, torch.tensor([len(row) for row in rows]))


@torch.no_grad()
def _sample_cross_entropy(model: HookedModel, made: Generation, config: SteeringConfig) -> Any:
    """Of the generated tokens, under the model as it came, with an interval over samples."""
    sums, counts = np.zeros(len(made.ids)), np.zeros(len(made.ids))
    positions = torch.arange(made.ids.shape[1] - 1)
    for start in range(0, len(made.ids), 8):
        part = slice(start, start + 8)
        losses = _losses(model, TokenBatch(made.ids[part], made.lengths[part]), [], {})
        new = (positions >= made.prompt_lengths[part, None].cpu() - 1) & (
            positions < made.lengths[part, None].cpu() - 1
        )
        sums[part], counts[part] = (losses * new).sum(1).numpy(), new.sum(1).numpy()
    return ratio(sums, counts, _bootstrap(config))


@torch.no_grad()
def _cross_entropy(
    steered: Steered, text: PackedText | None, edits: list[Edit], weights: Mapping[str, Tensor], config: SteeringConfig
) -> Any:
    """Of held-out text, with an interval over documents; None without text."""
    if text is None:
        return ratio(np.zeros(1), np.zeros(1), _bootstrap(config))
    sums, counts = np.zeros(len(text.document_ids)), np.zeros(len(text.document_ids))
    mask = text.mask(steered.model.policy, tuple(steered.model.tokenizer.special_ids))
    for start in range(0, len(text), 8):
        part = slice(start, start + 8)
        losses = _losses(steered.model, TokenBatch(text.ids[part].long(), text.lengths[part].long()), edits, weights)
        counted = mask[part, :-1] & (torch.arange(losses.shape[1]) < text.lengths[part, None] - 1)
        document = text.document[part].long().numpy()
        np.add.at(sums, document, (losses * counted).sum(1).numpy())
        np.add.at(counts, document, counted.sum(1).numpy())
    seen = counts > 0
    return ratio(sums[seen], counts[seen], _bootstrap(config))


def _losses(model: HookedModel, tokens: TokenBatch, edits: list[Edit], weights: Mapping[str, Tensor]) -> Tensor:
    """Nats of every next token [b, t - 1], a row at a time so that log-probabilities stay small."""
    logits = model.run(tokens, edits, weights=weights or None).logits
    assert logits is not None
    ids = tokens.ids.to(logits.device)
    rows = [
        torch.nn.functional.cross_entropy(row[:-1].float(), of[1:], reduction="none")
        for row, of in zip(logits, ids, strict=True)
    ]
    return torch.stack(rows).double().cpu()


def _record(
    topic: str,
    protocol: str,
    members: Mapping[str, Sequence[int]],
    found: _Measured,
    pattern: Any,
    config: SteeringConfig,
) -> dict[str, Any]:
    hits = sum(pattern.search(text) is not None for text in found.texts)
    success = proportion(hits, len(found.texts), config.confidence)
    row: dict[str, Any] = {"topic": topic, "protocol": protocol, "codes": sum(map(len, members.values()))}
    for name, estimate in (("success", success), ("sample_ce", found.sample), ("heldout_ce", found.heldout)):
        row |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    return row | {"sample_perplexity": exp(min(found.sample.value, 50)), "samples": len(found.texts)}


def _samples(topic: str, protocol: str, found: _Measured) -> list[dict[str, Any]]:
    return [
        {"topic": topic, "protocol": protocol, "prompt": prompt, "text": text}
        for prompt, text in zip(found.prompts, found.texts, strict=True)
    ]


def _means(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Mean success over topics by protocol."""
    found: dict[str, list[float]] = {}
    for row in rows:
        found.setdefault(f"success_{row['protocol'].replace(' ', '_')}", []).append(row["success"])
    return {name: float(np.mean(values)) for name, values in found.items()}


def _of(rows: Sequence[dict[str, Any]], topic: str) -> list[dict[str, Any]]:
    return [row for row in rows if row["topic"] == topic]


def _spread(text: PackedText, config: SteeringConfig) -> PackedText:
    """Sequences spread over the whole text, so that few of them still see every document."""
    count = min(len(text), config.search_sequences or len(text))
    return text.take(torch.linspace(0, len(text) - 1, count).round().long().unique())


def _heldout(text: PackedText, config: SteeringConfig) -> PackedText | None:
    if not config.heldout_sequences:
        return None
    part = text.split("heldout")
    return part.take(torch.linspace(0, len(part) - 1, min(len(part), config.heldout_sequences)).round().long().unique())


def _bootstrap(config: SteeringConfig) -> EvaluateConfig:
    return EvaluateConfig(bootstrap=config.bootstrap, confidence=config.confidence, seed=config.seed)
