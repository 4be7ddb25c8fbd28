"""profile: which neurons of every MLP fire, streamed over text in one pass."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core import Interrupted, Progress, Result, Silent, Site
from workbench.data import PackedText
from workbench.models import HookedModel

from .calibrate import Calibration, NeuronSample, sample_neurons
from .concentration import gini, hoyer, top_mass
from .gates import neuron_gate
from .profile_config import ProfileConfig
from .sequences import follow_sequences
from .stream import BANDS, NeuronCounts, OutlierCounts, Rows, stream

ERRORS = (0.01, 0.05, 0.1, 0.2)
"""CETT values at which the share of silent neurons is read off."""
QUANTILES = (0.25, 0.5, 0.75, 0.9)
TOPS = (0.01, 0.1)
_SMALLEST = torch.finfo(torch.float32).tiny


def profile(
    model: HookedModel, text: PackedText, config: ProfileConfig | None = None, progress: Progress | None = None
) -> Result:
    """Sparsity of all MLPs and outliers of the residual stream over a text.

    Counted over every position that the mask keeps, in one pass with memory that does not grow: firing by neuron,
    position and token frequency, quantiles of |activation|, exact zeros, infinity norms, kurtosis. Measured on a seeded
    sample, because it sorts or keeps rows: concentration, CETT and CATS, active dimensions, attention.

    Tables: `layers`, `positions`, `frequencies`, `flow`, `heads`. Arrays: `rates` [layer, neuron], `histogram`.

    Raises:
        Interrupted: cancelled before the first batch was done.
    """
    config, progress = config or ProfileConfig(), progress or Silent()
    samples = sample_neurons(model, text, config.sample_rows, seed=config.seed, progress=progress)
    limits = firing_limits(model, samples, config)
    length = int(text.lengths.max())
    neurons = [NeuronCounts(limit, length) for limit in limits]
    outliers = [OutlierCounts() for _ in limits]
    partial = count_text(model, text, neurons, outliers, config, progress)
    progress.phase("sampled sequences", config.sample_sequences, "sequences")
    flow, heads = follow_sequences(model, text, config)
    layers = [
        {**_counted(layer, neurons[layer], outliers[layer]), **_sampled(model, samples[layer], config)}
        for layer in range(model.shape.n_layers)
    ]
    rows = neurons[0].tally.rows
    return Result(
        kind="sparsity_profile",
        scalars={
            "tokens": float(rows),
            "density_mean": float(np.mean([layer["density"] for layer in layers])),
            "dead_share": float(np.mean([layer["dead_share"] for layer in layers])),
            "idle_heads": float(sum(head["idle"] for head in heads)),
            "infinity_norm": max(layer["infinity_norm"] for layer in layers),
        },
        tables={
            "layers": layers,
            "positions": [row for layer, found in enumerate(neurons) for row in _positions(layer, found)],
            "frequencies": [row for layer, found in enumerate(neurons) for row in _frequencies(layer, found)],
            "flow": flow,
            "heads": heads,
        },
        arrays={
            "rates": torch.stack([found.rates for found in neurons]).float().cpu().numpy(),
            "histogram": torch.stack([found.tally.histogram for found in neurons]).cpu().numpy(),
        },
        params={**config.model_dump(mode="json"), "model": model.ref.id, "mask": model.policy.describe()},
        inputs={"model": model.ref.weight_hash, "text": text.hash},
        notes=_notes(model, text, config, rows),
        seed=config.seed,
        partial=partial,
    )


def firing_limits(
    model: HookedModel, samples: Sequence[NeuronSample], config: ProfileConfig
) -> list[Float[Tensor, " f"]]:
    """The size from which each neuron of each layer fires: above 0 with ReLU, else by CETT at `config.error`."""
    if model.shape.act_fn == "relu":
        return [torch.full((sample.width,), _SMALLEST, device=sample.writes.device) for sample in samples]
    calibration = Calibration(model, samples, "cett", config.seed)
    found = []
    for number, share in enumerate(calibration.at_error(config.error)):
        gate = calibration.gate(number, share)
        assert gate.norms is not None
        found.append((gate.amount / gate.norms.clamp_min(_SMALLEST)).clamp_min(_SMALLEST))
    return found


def count_text(
    model: HookedModel,
    text: PackedText,
    neurons: Sequence[NeuronCounts],
    outliers: Sequence[OutlierCounts],
    config: ProfileConfig,
    progress: Progress,
) -> bool:
    """The one pass; whether it was cut short."""
    total = text.n_tokens if config.tokens is None else min(config.tokens, text.n_tokens)
    progress.phase("profile", total, "tokens")
    with torch.no_grad():
        for number, rows in enumerate(stream(model, text, config.batch_sequences, config.tokens)):
            if progress.cancelled():
                if not number:
                    raise Interrupted("the profile was cancelled before anything was counted")
                return True
            watchers = {layer: _watch_neurons(found, rows) for layer, found in enumerate(neurons)}
            functions = [_watch_stream(layer, found, rows) for layer, found in enumerate(outliers)]
            with model.watch_neurons(watchers):
                model.intervene(rows.tokens, functions, logits=False)
            progress.advance(int(rows.tokens.lengths.sum()))
    return False


def _watch_neurons(found: NeuronCounts, rows: Rows) -> Callable[[Tensor], None]:
    start = 0

    def watch(x: Tensor) -> None:
        nonlocal start
        start = found.add(x, rows, start)

    return watch


def _watch_stream(layer: int, found: OutlierCounts, rows: Rows) -> tuple[Site, Callable[[Tensor], None]]:
    def watch(x: Tensor) -> None:
        found.add(x, rows)

    return Site("resid_post", layer), watch


def _counted(layer: int, found: NeuronCounts, outliers: OutlierCounts) -> dict[str, Any]:
    rates = found.rates
    return {
        "layer": layer,
        "density": float(rates.mean()),
        "zeros": found.zeros,
        "dead_share": float((rates == 0).double().mean()),
        "under_1_percent": float((rates < 0.01).double().mean()),
        "under_10_percent": float((rates < 0.1).double().mean()),
        "always_on_share": float((rates > 0.99).double().mean()),
        "largest": found.largest,
        **{f"quantile_{round(100 * share)}": found.quantile(share) for share in QUANTILES},
        "infinity_norm": outliers.norm[False],
        "infinity_norm_first": outliers.norm[True],
        "kurtosis": outliers.kurtosis(first=False),
        "kurtosis_first": outliers.kurtosis(first=True),
    }


def _sampled(model: HookedModel, sample: NeuronSample, config: ProfileConfig) -> dict[str, float]:
    rows = sample.inputs[Site("mlp_post", sample.layer)]
    alive = rows[rows.abs().sum(1) > 0]
    found = {"gini": float(gini(alive).mean()), "hoyer": float(hoyer(alive).mean())}
    for share in TOPS:
        count = max(1, round(share * sample.width))
        found[f"mass_of_top_{round(100 * share)}_percent"] = float(top_mass(alive, count).mean())
    calibration = Calibration(model, [sample], "cett", config.seed)
    for error in ERRORS:
        found[f"silent_at_cett_{error:g}"] = calibration.at_error(error)[0]
    if model.shape.gated:
        scores = neuron_gate(model, sample.layer, "cats", 0.0).score(sample.inputs)
        found["cats_threshold_50"] = float(scores.flatten().median())
    return found


def _positions(layer: int, found: NeuronCounts) -> list[dict[str, Any]]:
    """Density over positions, from one power of two to the next."""
    width, rows = len(found.tally.limits), []
    low = 0
    while low < found.by_position.shape[1]:
        high = max(2 * low, 1)
        fired, count = found.by_position[:, low:high].sum(1).tolist()
        if count:
            rows.append({"layer": layer, "from": low, "to": high - 1, "density": fired / count / width, "n": count})
        low = high
    return rows


def _frequencies(layer: int, found: NeuronCounts) -> list[dict[str, Any]]:
    width = len(found.tally.limits)
    return [
        {
            "layer": layer,
            "occurrences": f"{low}-{high}" if high else f"{low}+",
            "density": fired / count / width,
            "n": count,
        }
        for (low, high), fired, count in zip(BANDS, *found.by_band.tolist(), strict=True)
        if count
    ]


def _notes(model: HookedModel, text: PackedText, config: ProfileConfig, rows: int) -> tuple[str, ...]:
    fires = (
        "a neuron fires where its activation is above 0"
        if model.shape.act_fn == "relu"
        else f"a neuron fires where |a| |w| reaches the layer's threshold; what lies below it is {config.error:.0%} of "
        "the MLP's output (CETT, mean over the sample)"
    )
    return (
        f"{model.ref.id} on {text.ref.id}, {rows} tokens counted in one pass; mask: {model.policy.describe()}",
        fires,
        "quantiles of |activation| from a histogram with eight bins to the octave; kurtosis over a row's dimensions, 3 "
        "for a Gaussian; infinity_norm_first and kurtosis_first: the first position of every sequence",
        f"sampled, not streamed: concentration, CETT and CATS on {config.sample_rows} tokens drawn by seed "
        f"{config.seed}; flow and heads on {config.sample_sequences} sequences",
        f"flow: active dimensions hold {config.share:.0%} of a row's mass; shared and specialised over {config.window} "
        f"tokens; idle heads: more than {config.sink_above:.0%} of their attention on the first token",
    )
