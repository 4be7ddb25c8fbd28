"""The streaming measures of a sparsity profile beside the bare forward passes over the same text."""

from collections.abc import Iterator

import torch

from sparse_kernels import speed
from workbench.core import Progress, Result, Silent, Site, register
from workbench.data import PackedText, open_text, pack
from workbench.models import HookedModel, load_model
from workbench.sparsity import (
    NeuronCounts,
    OutlierCounts,
    ProfileConfig,
    count_text,
    firing_limits,
    sample_neurons,
    stream as batches_of,
)

from .comparison import Comparison, compare, device_of, threads
from .profile_config import ProfileBenchConfig

BARE, PROFILED = "bare forward passes", "profile, streaming measures"
_SAMPLE = 64


@register("benchmark", "profile")
def bench_profile(config: ProfileBenchConfig | None = None, progress: Progress | None = None) -> Result:
    """Time and transient memory of what `sparsity profile` counts in its one pass, all layers.

    Raises:
        ConfigError: an unknown device. ModelError: see `load_model`. Interrupted: cancelled before a round was done.
    """
    config, progress = (config or ProfileBenchConfig()).reduced(), progress or Silent()
    with threads(config):
        return compare("profile", _comparisons(config, progress), config, progress, _NOTES)


def _comparisons(config: ProfileBenchConfig, progress: Progress) -> Iterator[Comparison]:
    model = load_model(config.model, device=str(device_of(config)), offline=config.offline, progress=progress)
    text = pack(open_text(config.text, offline=config.offline), model.tokenizer, policy=model.policy)
    settings = ProfileConfig(tokens=config.tokens, batch_sequences=config.batch_sequences, sample_rows=_SAMPLE)
    yield Comparison(
        f"profile {config.model}",
        f"{config.tokens} tokens, {model.shape.n_layers} layers, {config.batch_sequences} sequences a pass",
        "float32",
        (
            speed.Case(BARE, lambda: _bare(model, text, settings), "torch", prepare=_nothing),
            speed.Case(PROFILED, _counting(model, text, settings), "torch", prepare=_nothing),
        ),
        BARE,
    )


def _counting(model: HookedModel, text: PackedText, settings: ProfileConfig):
    limits = firing_limits(model, sample_neurons(model, text, settings.sample_rows, seed=settings.seed), settings)
    neurons = [NeuronCounts(limit, int(text.lengths.max())) for limit in limits]
    outliers = [OutlierCounts() for _ in limits]
    return lambda: count_text(model, text, neurons, outliers, settings, Silent())


@torch.no_grad()
def _bare(model: HookedModel, text: PackedText, settings: ProfileConfig) -> None:
    """The same batches through all layers, nothing kept but the last stream, no logits."""
    last = Site("resid_post", model.shape.n_layers - 1)
    for rows in batches_of(model, text, settings.batch_sequences, settings.tokens):
        model.capture(rows.tokens, [last])


def _nothing() -> None:
    """Given as a case's preparation it keeps a timing to one pass over the tokens."""


_NOTES = (
    f"{BARE}: every layer, no logits, one capture; {PROFILED}: the same passes with counts by neuron, position and "
    "token frequency, histograms, infinity norms and kurtosis of every layer.",
    "Not timed: thresholds, concentration and attention, which a profile takes from a seeded sample of rows once.",
)
