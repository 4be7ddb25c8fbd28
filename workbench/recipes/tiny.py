"""Make the shipped tiny model anew: a small Llama trained on synthetic sentences by the one training loop."""

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from workbench.core import Config, MaskPolicy, Progress, Silent, Site, generator
from workbench.data import PackConfig, PackedText, open_text, pack
from workbench.models import WordTokenizer, new_tiny, save_tiny
from workbench.store import Chunk
from workbench.training import train

_TOKENS, _LENGTHS = Site("embed"), Site("logits")


class TinyConfig(Config):
    """How the tiny model is trained."""

    text: str = Field(default="synthetic-sentences:6000", description="a synthetic text")
    passes: int = Field(default=12, ge=1, description="passes over the text")
    batch_sequences: int = Field(default=64, ge=1, description="sequences in a step")
    lr: float = Field(default=4e-3, gt=0, description="largest learning rate of Adam (one cycle)")
    seed: int = Field(default=0, ge=0, description="seed of weights and order")


def train_tiny(folder: Path, config: TinyConfig | None = None, progress: Progress | None = None) -> dict[str, float]:
    """Train and write the model in the Hugging Face layout; returns the last loss per token, in nats."""
    config = config or TinyConfig()
    corpus = open_text(config.text)
    words = sorted({word for _, text in corpus.documents() for word in text.split()})
    tokenizer = WordTokenizer(("<bos>", *words), bos="<bos>")
    model = new_tiny(tokenizer.vocab_size, config.seed)
    text = pack(corpus, tokenizer, PackConfig(sequence_length=48), MaskPolicy())
    rows = TokenRows(text.split("train"), config)
    learner = NextToken(model, config, rows.n_chunks)
    train([learner], rows, 0, lambda chunk, records: None, progress or Silent())
    shutil.rmtree(folder, ignore_errors=True)
    save_tiny(model, tokenizer, folder)
    return {"loss": learner.loss, "steps": float(learner.step)}


class TokenRows:
    """Batches of token ids [n, t] and lengths [n, 1] as the chunks of the training loop; a chunk is one step."""

    def __init__(self, text: PackedText, config: TinyConfig) -> None:
        self.sites = (_TOKENS, _LENGTHS)
        self._text, self._config = text, config
        self._per_pass = len(text) // config.batch_sequences

    @property
    def total_rows(self) -> int:
        return self.n_chunks * self._config.batch_sequences

    @property
    def n_chunks(self) -> int:
        return self._per_pass * self._config.passes

    @property
    def ref(self) -> dict[str, Any]:
        return {"text": self._text.ref}

    @property
    def identity(self) -> dict[str, Any]:
        return {"text": self._text.ref.hash, "config": self._config.model_dump(mode="json")}

    def chunk(self, number: int) -> Chunk:
        done, place = divmod(number, self._per_pass)
        order = torch.randperm(len(self._text), generator=generator(self._config.seed, "tiny rows", done))
        size = self._config.batch_sequences
        rows = order[place * size : (place + 1) * size]
        batch = self._text.take(rows)
        return Chunk(number, {_TOKENS: batch.ids.long(), _LENGTHS: batch.lengths[:, None]}, rows)

    def chunks(self, start: int = 0) -> Iterator[Chunk]:
        return (self.chunk(number) for number in range(start, self.n_chunks))


class NextToken:
    """A language model as a learner of the training loop: next-token cross-entropy, Adam, one cycle."""

    name = "next token"

    def __init__(self, model: Any, config: TinyConfig, steps: int) -> None:
        self.model, self.steps, self.step, self.loss = model.train(), steps, 0, float("nan")
        self._optimiser = torch.optim.AdamW(model.parameters(), lr=config.lr, weight_decay=0.01)
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(self._optimiser, config.lr, steps)

    @property
    def finished(self) -> bool:
        return self.step >= self.steps

    def train_chunk(self, inputs: Mapping[Site, Tensor], number: int, buffers: Any) -> dict[str, Any]:
        ids, lengths = inputs[_TOKENS], inputs[_LENGTHS]
        logits = self.model(input_ids=ids).logits[:, :-1]
        real = torch.arange(1, ids.shape[1]) < lengths
        loss = torch.nn.functional.cross_entropy(logits[real], ids[:, 1:][real])
        self._optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self._optimiser.step()
        self._schedule.step()
        self.step, self.loss = self.step + 1, float(loss.detach())
        return {"chunk": number, "step": self.step, "loss": self.loss}
