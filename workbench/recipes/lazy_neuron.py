"""Train the small ReLU models of the lazy-neuron experiments, and watch how many of their neurons fire."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.core import Edit, ModelRef, Progress, Site, child
from workbench.data import PackConfig, PackedText, open_text, pack
from workbench.models import HookedModel, TokenBatch, character_tokenizer, hash_tensors, new_relu_model, wrap
from workbench.sparsity import NeuronGate
from workbench.store import Chunk
from workbench.training import (
    LENGTHS,
    TOKENS,
    LanguageConfig,
    LanguageModule,
    TokenRows,
    TrainedLanguage,
    fit_language,
)

from .lazy_neuron_runs import LazyRun

TARGETS = Site("final_norm")
"""Where a chunk of these rows holds what is to be predicted [n, t]; -100 counts nothing."""
CHUNK_STEPS = 10
_PROBE_SEQUENCES = 16
_TEXT = "wikipedia-sample"


class ControlRows:
    """The rows of a text with inputs or targets exchanged; what a sequence gets never changes between passes.

    `random labels`: every next character is a uniformly drawn one. `random inputs`: every character that is read is
    a uniformly drawn one, and the text's own is predicted. With label noise, a share of the targets is drawn.
    """

    def __init__(self, text: PackedText, run: LazyRun, passes: int, vocabulary: int, seed: int = 0) -> None:
        self._rows = TokenRows(text, CHUNK_STEPS * run.batch, passes, seed)
        self._run, self._vocabulary, self._seed = run, vocabulary, seed
        self.sites = (*self._rows.sites, TARGETS)
        self.n_chunks, self.total_rows, self.ref = self._rows.n_chunks, self._rows.total_rows, self._rows.ref

    @property
    def identity(self) -> dict[str, Any]:
        return {**self._rows.identity, "run": self._run.model_dump(mode="json")}

    def chunk(self, number: int) -> Chunk:
        chunk = self._rows.chunk(number)
        ids, lengths = chunk.inputs[TOKENS], chunk.inputs[LENGTHS]
        drawn = torch.stack([self._drawn(int(row), ids.shape[1]) for row in chunk.row_ids])
        targets = ids.roll(-1, 1)
        if self._run.targets == "random labels":
            targets = drawn[:, 0]
        elif self._run.targets == "random inputs":
            ids = torch.cat([ids[:, :1], drawn[:, 0, 1:]], 1)
        if self._run.label_noise:
            noisy = torch.stack([self._noisy(int(row), ids.shape[1]) for row in chunk.row_ids])
            targets = torch.where(noisy, drawn[:, 0], targets)
        places = torch.arange(1, ids.shape[1] + 1)
        targets = targets.masked_fill(places >= lengths, -100)
        return Chunk(number, {TOKENS: ids, LENGTHS: lengths, TARGETS: targets}, chunk.row_ids)

    def chunks(self, start: int = 0) -> Iterator[Chunk]:
        return (self.chunk(number) for number in range(start, self.n_chunks))

    def _drawn(self, row: int, length: int) -> Int[Tensor, "1 t"]:
        draw = torch.Generator().manual_seed(child(self._seed, "control", row))
        return torch.randint(2, self._vocabulary, (1, length), generator=draw)

    def _noisy(self, row: int, length: int) -> Tensor:
        draw = torch.Generator().manual_seed(child(self._seed, "label noise", row))
        return torch.rand(length, generator=draw) < self._run.label_noise


class ControlModule(LanguageModule):
    """A language model that predicts the targets of its rows instead of its own next tokens."""

    def loss(self, inputs: Mapping[Site, Int[Tensor, "n _"]]) -> dict[str, Float[Tensor, ""]]:
        logits, _ = self._run(TokenBatch(inputs[TOKENS], inputs[LENGTHS][:, 0]))
        found = torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), inputs[TARGETS].flatten())
        return {"loss": found, "cross_entropy": found}


@dataclass(frozen=True)
class LazyModel:
    """A trained model with what stands in it."""

    run: LazyRun
    hooked: HookedModel
    edits: list[Edit]
    trained: TrainedLanguage

    @property
    def weights(self) -> dict[str, Tensor]:
        return self.trained.weights


def lazy_text() -> PackedText:
    """The characters of Wikipedia in sequences of 128."""
    return pack(open_text(_TEXT), character_tokenizer(), PackConfig(sequence_length=128, min_tokens=127))


def new_lazy_model() -> HookedModel:
    """The untrained model, hooked."""
    model, tokenizer = new_relu_model(), character_tokenizer()
    ref = ModelRef(
        id="relu model",
        weight_hash=hash_tensors(model.state_dict()),
        processing=("untrained",),
        tokenizer_hash=tokenizer.hash,
    )
    return wrap(model, tokenizer, ref)


def top_k_edits(hooked: HookedModel, k: int | None) -> list[Edit]:
    """V Top_k(ReLU(K^T x)) in every layer, as Edits; none without k."""
    layers = range(hooked.shape.n_layers) if k is not None else ()
    return [Edit.through(NeuronGate(layer, "top-k", k or 0)) for layer in layers]


def train_lazy(run: LazyRun, text: PackedText, root: Path, progress: Progress | None = None) -> LazyModel:
    """Train a run under `root`, or go on with it; a finished one is opened."""
    hooked = new_lazy_model()
    edits = top_k_edits(hooked, run.top_k)
    module = ControlModule(hooked, edits=edits, trains="model")
    part = text.split("train")
    part = part if run.sequences is None else part.take(torch.arange(run.sequences) * len(part) // run.sequences)
    passes = -(-run.steps * run.batch // len(part))
    rows = ControlRows(part, run, passes, hooked.shape.d_vocab)
    config = LanguageConfig(
        trains="model",
        steps=run.steps,
        batch_sequences=run.batch,
        lr=run.lr,
        warm_up=50,
        decay_share=0.6,
        checkpoint_every_chunks=3,
        probe_every_chunks=1,
    )
    probe = DensityProbe(probe_text(text))
    folder = root / run.name
    trained = fit_language(module, rows, folder, config, progress, probe, name=run.name)
    return LazyModel(run, hooked, edits, trained)


def probe_text(text: PackedText) -> PackedText:
    """The held-out sequences on which densities are followed."""
    return text.split("heldout").take(torch.arange(_PROBE_SEQUENCES))


class DensityProbe:
    """The share of the neurons of each layer that fire (are above 0), on fixed held-out text."""

    def __init__(self, text: PackedText) -> None:
        self._tokens = TokenBatch(text.ids.long(), text.lengths.long())

    @torch.no_grad()
    def __call__(self, module: LanguageModule) -> dict[str, float]:
        model = module.model
        sites = [Site("mlp_post", layer) for layer in range(model.shape.n_layers)]
        run = model.run(self._tokens, module.edits, sites=sites, weights=module.weights(), logits=False)
        # Position 0 holds BOS in every sequence.
        return {f"density.{site.layer}": float((run.activations[site][:, 1:] > 0).float().mean()) for site in sites}
