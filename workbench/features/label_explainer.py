"""Labels by a language model: the protocol of an explainer, this machine's models, and a local server."""

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch

from workbench.core import ConfigError, ModelError, Progress, Result, Silent, Unit, child
from workbench.models import HookedModel

from .feature_scan import FeatureScan
from .label_config import LabelConfig


@dataclass(frozen=True)
class Passage:
    """A stretch of text: its tokens, which of them are marked, and whether the unit really fires (on the marks)."""

    tokens: tuple[str, ...]
    marked: tuple[bool, ...]
    true: bool

    def text(self) -> str:
        """The words, marked ones between << and >>."""
        return "".join(f"<<{t}>>" if m else t for t, m in zip(self.tokens, self.marked, strict=True))


@runtime_checkable
class Explainer(Protocol):
    """What writes labels and guesses from labels."""

    @property
    def name(self) -> str: ...
    def explain(self, examples: Sequence[Passage], /) -> str:
        """A few words on what the marked tokens have in common."""
        ...

    def judge(self, label: str, passages: Sequence[Passage], /) -> list[bool]:
        """Of each passage, whether the label fits it (its marked tokens, where there are any)."""
        ...


ASK = (
    "These passages come from one text. Some words are between << and >>. Say in at most ten words what the marked "
    "words have in common.\n\n{examples}\n\nThe marked words have in common:"
)
JUDGE = (
    "Description: {label}\nPassage: {passage}\nDo the marked words (or, without marks, any word) fit? Answer yes or no."
    "\nAnswer:"
)


@dataclass(frozen=True)
class ModelExplainer:
    """A model of this machine: greedy words for a label; yes against no for a judgement."""

    model: HookedModel
    words: int = 16

    @property
    def name(self) -> str:
        return self.model.ref.id

    def explain(self, examples: Sequence[Passage]) -> str:
        shown = "\n".join(f"- {passage.text().strip()}" for passage in examples)
        prompt = self.model.tokens(ASK.format(examples=shown))
        said = self.model.generate(prompt, self.words)
        new = said.ids[0, int(prompt.lengths[0]) : int(said.lengths[0])]
        return self.model.tokenizer.decode(new.tolist()).strip().split("\n")[0].strip(" .\"'-")

    @torch.no_grad()
    def judge(self, label: str, passages: Sequence[Passage]) -> list[bool]:
        yes, no = (self.model.tokenizer.encode(word)[0] for word in (" yes", " no"))
        found = []
        for passage in passages:
            tokens = self.model.tokens(JUDGE.format(label=label, passage=passage.text().strip()))
            logits = self.model.run(tokens).logits
            assert logits is not None
            last = logits[0, int(tokens.lengths[0]) - 1]
            found.append(bool(last[yes] > last[no]))
        return found


@dataclass(frozen=True)
class ServerExplainer:
    """A server with OpenAI's chat interface, on this machine unless another address is given.

    Raises:
        ConfigError: the address is no http address.
    """

    url: str = "http://127.0.0.1:8080/v1"
    model: str = "default"
    timeout: float = 120.0
    headers: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")):
            raise ConfigError(f"{self.url!r} is no address of a server", hint="write http://127.0.0.1:8080/v1")

    @property
    def name(self) -> str:
        return self.model

    def explain(self, examples: Sequence[Passage]) -> str:
        shown = "\n".join(f"- {passage.text().strip()}" for passage in examples)
        return self._answer(ASK.format(examples=shown), 40).split("\n")[0].strip(" .\"'-")

    def judge(self, label: str, passages: Sequence[Passage]) -> list[bool]:
        asked = (JUDGE.format(label=label, passage=passage.text().strip()) for passage in passages)
        return [self._answer(prompt, 3).lower().lstrip(" \"'*").startswith("yes") for prompt in asked]

    def _answer(self, prompt: str, tokens: int) -> str:
        body = {"model": self.model, "temperature": 0, "max_tokens": tokens}
        body["messages"] = [{"role": "user", "content": prompt}]
        request = urllib.request.Request(
            self.url.rstrip("/") + "/chat/completions",
            json.dumps(body).encode(),
            {"Content-Type": "application/json", **self.headers},
        )
        try:
            with urllib.request.urlopen(request, timeout=self.timeout) as response:
                found = json.load(response)
            return str(found["choices"][0]["message"]["content"]).strip()
        except (OSError, urllib.error.URLError, ValueError, KeyError, IndexError, TypeError) as error:
            raise ModelError(f"the server at {self.url} gave no answer", found=str(error)[:200]) from None


def explain_units(
    scan: FeatureScan,
    units: Sequence[Unit],
    explainer: Explainer,
    strings: Callable[[list[int]], list[str]],
    config: LabelConfig | None = None,
    progress: Progress | None = None,
) -> Result:
    """Have units explained from their top examples, and the labels judged on random ones that were not shown.

    detection: balanced accuracy of telling passages where the unit fires from ones where it does not, nothing marked;
    fuzzing: the same for passages where it fires, its tokens marked against as many others (after Paulo et al. 2024).
    A judge that always gives one answer scores 0.5.

    Table `labels`: unit, label, f1 (the F1 of detection), detection, fuzzing, n.
    """
    config, progress = config or LabelConfig(), progress or Silent()
    progress.phase("explain units", total=len(units), unit="units")
    records: list[dict[str, Any]] = []
    for unit in units:
        if progress.cancelled():
            break
        draw = np.random.default_rng(child(config.seed, str(unit)))
        top = [scan.context(unit, p, v, strings, config.window // 2) for p, v in _first(scan, unit, "top", config)]
        seen = {example["sequence"] for example in top}
        fires = [p for p, _ in zip(*scan.places(unit, "random"), strict=True) if p // scan.ids.shape[1] not in seen]
        fires = fires[: config.examples]
        label = explainer.explain([_passage(example, True) for example in top]) if top else ""
        detection, marks = _tests(scan, unit, fires, strings, config, draw)
        said = explainer.judge(label, [*detection, *marks])
        scored = [_score(part, said[start : start + len(part)]) for start, part in
                  ((0, detection), (len(detection), marks))]  # fmt: skip
        (detected, f1), (fuzzed, _) = scored
        records.append(
            {"unit": str(unit), "label": label, "f1": f1, "detection": detected, "fuzzing": fuzzed, "n": len(said)}
        )
        progress.advance()
    return Result(
        kind="labels",
        scalars={
            f"median_{key}": float(np.nanmedian([row[key] for row in records])) if records else float("nan")
            for key in ("f1", "detection", "fuzzing")
        },
        tables={"labels": records},
        params={"source": explainer.name, **config.model_dump(mode="json")},
        notes=(f"Written and judged by {explainer.name}; judged on passages of other sequences than were shown.",),
        inputs=scan.inputs(),
        seed=config.seed,
        partial=len(records) < len(units),
    )


def _first(scan: FeatureScan, unit: Unit, kind: str, config: LabelConfig) -> list[tuple[int, float]]:
    return list(zip(*scan.places(unit, kind), strict=True))[: config.examples]


def _passage(example: dict[str, Any], true: bool, marked: Sequence[bool] | None = None) -> Passage:
    marks = [value != 0 for value in example["values"]] if marked is None else marked
    return Passage(tuple(example["tokens"]), tuple(marks), true)


def _tests(
    scan: FeatureScan,
    unit: Unit,
    fires: Sequence[int],
    strings: Callable[[list[int]], list[str]],
    config: LabelConfig,
    draw: np.random.Generator,
) -> tuple[list[Passage], list[Passage]]:
    """Passages for detection (nothing marked), and for fuzzing (right and wrong marks)."""
    detection, marks = [], []
    half = config.window // 2
    for place in fires:
        example = scan.context(unit, place, 0.0, strings, half)
        size = len(example["tokens"])
        detection.append(_passage(example, True, [False] * size))
        right = [value != 0 for value in example["values"]]
        silent = np.flatnonzero(~np.array(right))
        wrong = np.zeros(size, bool)
        wrong[draw.choice(silent, min(sum(right), len(silent)), replace=False)] = True
        marks += [_passage(example, True, right), _passage(example, False, wrong.tolist())]
    tries = 0
    while len(detection) < 2 * len(fires) and tries < 50 * max(len(fires), 1):
        tries += 1
        sequence = int(draw.integers(len(scan.ids)))
        position = int(draw.integers(1, max(int(scan.lengths[sequence]), 2)))
        example = scan.context(unit, sequence * scan.ids.shape[1] + position, 0.0, strings, half)
        if not any(example["values"]):
            detection.append(_passage(example, False, [False] * len(example["tokens"])))
    return detection, marks


def _score(passages: Sequence[Passage], said: Sequence[bool]) -> tuple[float, float]:
    """Balanced accuracy and F1; nan without passages of both kinds."""
    true, told = np.array([p.true for p in passages], bool), np.array(said, bool)
    if not true.any() or true.all():
        return float("nan"), float("nan")
    hits = int((true & told).sum())
    return float(0.5 * (told[true].mean() + 1 - told[~true].mean())), 2 * hits / int(true.sum() + told.sum())
