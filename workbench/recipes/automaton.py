"""Train the models of the automaton, plain and with codebooks: resumable, each run in a folder of its own."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch

from workbench.core import Config, ModelRef, Progress, Silent, Site, child
from workbench.data import PAPER_AUTOMATON, SCALED_AUTOMATON, Automaton
from workbench.dictionaries import Codebook, CodebookConfig, make_dictionary
from workbench.models import (
    SCALED_SIZES,
    AutomatonModelConfig,
    HookedModel,
    digit_tokenizer,
    hash_tensors,
    new_automaton_model,
    wrap,
)
from workbench.training import LanguageConfig, LanguageModule, StreamRows, TrainedLanguage, fit_language

from .automaton_runs import AutomatonRun, automaton_run

log = logging.getLogger(__name__)

CHUNK_BATCHES = 20
"""Steps of a chunk: metrics are written, and training can be cut short, at its border."""
_SAMPLE = 256
"""Sequences whose activations the codes start from."""


@dataclass(frozen=True)
class AutomatonSetting:
    """An automaton and the sizes of the model that reads it."""

    automaton: Automaton
    model: AutomatonModelConfig


def automaton_setting(paper: bool) -> AutomatonSetting:
    """The paper's automaton and model, or the scaled ones."""
    if paper:
        return AutomatonSetting(Automaton(PAPER_AUTOMATON), AutomatonModelConfig())
    return AutomatonSetting(Automaton(SCALED_AUTOMATON), SCALED_SIZES)


def new_automaton_hooked(config: AutomatonModelConfig) -> HookedModel:
    """The untrained model, hooked."""
    model = new_automaton_model(config)
    tokenizer = digit_tokenizer()
    ref = ModelRef(
        id="automaton model",
        weight_hash=hash_tensors(model.state_dict()),
        processing=("untrained",),
        tokenizer_hash=tokenizer.hash,
    )
    return wrap(model, tokenizer, ref)


def train_automaton(name: str, root: Path, progress: Progress | None = None) -> TrainedLanguage:
    """Train the run of that name under `root`, or go on with it; a finished one is opened.

    A run with codes needs the plain one, which is trained first unless it is there.

    Raises:
        ConfigError: unknown name, or the folder belongs to other settings. TrainingError: it diverged.
    """
    run, progress = automaton_run(name), progress or Silent()
    setting = automaton_setting(run.paper)
    hooked = new_automaton_hooked(setting.model)
    config = training_settings(run)
    rows = training_rows(run, setting.automaton)
    if run.is_plain:
        module = LanguageModule(hooked, trains="model", autocast=run.autocast)
        return fit_language(module, rows, root / name, config, progress, name=name)
    weights, codecs = None, new_codebooks(run, hooked)
    if run.start == "plain":
        plain = train_automaton(run.plain, root, progress)
        if plain.partial:
            return plain
        weights = plain.weights
    start_codes(codecs, hooked, weights, setting.automaton, config.seed)
    module = LanguageModule(hooked, codecs, weights=weights, autocast=run.autocast)
    return fit_language(module, rows, root / name, config, progress, name=name)


def training_settings(run: AutomatonRun) -> LanguageConfig:
    """How a run trains."""
    return LanguageConfig(
        trains="model" if run.is_plain else "both",
        batch_sequences=run.batch,
        lr=run.lr,
        warm_up=100,
        decay_share=0.7,
        autocast=run.autocast,
        checkpoint_every_chunks=5,
    )


def training_rows(run: AutomatonRun, automaton: Automaton) -> StreamRows:
    """The run's part of the stream; a model with codes reads another one than the plain model it goes on from."""
    per_chunk = run.batch * CHUNK_BATCHES
    chunks = -(-round(run.tokens * 1e6) // (per_chunk * automaton.config.length))
    seed = child(0, "plain" if run.is_plain else "codes")
    identity: dict[str, object] = {
        "automaton": automaton.config.model_dump(mode="json"),
        "chunk_sequences": per_chunk,
        "chunks": chunks,
        "seed": seed,
    }
    return StreamRows(lambda number: automaton.chunk(number, per_chunk, seed), per_chunk, chunks, identity)


def new_codebooks(run: AutomatonRun, hooked: HookedModel) -> list[Codebook]:
    """One codebook for every head of every layer, one for every MLP, as the run has them."""
    found = []
    for layer in range(hooked.shape.n_layers):
        if run.attention:
            config = CodebookConfig(codes=run.attention, k=run.k, groups=hooked.shape.n_heads)
            found.append(_codebook(config, Site("attn_z", layer), hooked))
        if run.mlp:
            found.append(_codebook(CodebookConfig(codes=run.mlp, k=run.k), Site("mlp_out", layer), hooked))
    return found


def _codebook(config: Config, site: Site, hooked: HookedModel) -> Codebook:
    size = hooked.shape.row_size(site)
    made = make_dictionary("codebook", config, {site: size}, {site: size}, str(site))
    assert isinstance(made, Codebook)
    return made


@torch.no_grad()
def start_codes(
    codecs: Iterable[Codebook],
    hooked: HookedModel,
    weights: dict[str, torch.Tensor] | None,
    automaton: Automaton,
    seed: int,
) -> None:
    """Let every LayerNorm begin near the identity, and the codes at k-means centres of its output."""
    codecs = list(codecs)
    ids = automaton.sample(_SAMPLE, child(seed, "start"))
    sites = [codec.site for codec in codecs]
    found = hooked.run(ids, sites=sites, weights=weights, logits=False).activations
    for codec in codecs:
        rows = found[codec.site].flatten(0, 1).flatten(1)
        if codec.norm_weight is not None:
            parts = rows.unflatten(1, (codec.config.groups, -1))
            spread = parts.var(2, unbiased=False, keepdim=True).mean(0, keepdim=True).sqrt()
            codec.norm_weight.copy_(spread.expand(1, *parts.shape[1:]).flatten())
        codec.initialise_in_model(rows, child(seed, "codes", str(codec.site)))
