"""What is measured of a trained model of the lazy-neuron experiments: loss, density, robustness, calibration."""

from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from workbench.core import Edit, Site, child
from workbench.data import PackedText
from workbench.models import TokenBatch

from .lazy_neuron import LazyModel

NOISES = (0.0, 0.05, 0.1, 0.2, 0.4)
"""Shares of the characters that are replaced by random ones."""
SPREADS = (0.25, 0.5, 1.0)
"""Standard deviations of Gaussian noise on the embeddings, in those of the embeddings themselves."""
_SEQUENCES, _BATCH, _BINS = 64, 16, 15


class Answers(NamedTuple):
    """Next characters that count: their losses, whether the first choice was right, and its probability."""

    losses: Float[Tensor, " m"]
    right: Bool[Tensor, " m"]
    confidence: Float[Tensor, " m"]
    document: Int[Tensor, " m"]


@torch.no_grad()
def answers(model: LazyModel, text: PackedText, noise: float = 0.0, spread: float = 0.0) -> Answers:
    """The model's answers on held-out text whose inputs are disturbed; what is to be predicted is the text's own."""
    found = []
    chosen = torch.arange(_SEQUENCES) * len(text) // _SEQUENCES
    for part in chosen.split(_BATCH):
        ids = text.ids[part].long()
        draw = torch.Generator().manual_seed(child(0, "noise", int(part[0])))
        drawn = torch.randint(2, model.hooked.shape.d_vocab, ids.shape, generator=draw)
        hit = torch.rand(ids.shape, generator=draw) < noise
        hit[:, 0] = False
        edits = list(model.edits)
        if spread:
            size = model.weights["embed.W_E"].std() * spread
            values = torch.randn(*ids.shape, model.hooked.shape.d_model, generator=draw) * size
            edits.insert(0, Edit.add("embed", values))
        tokens = TokenBatch(torch.where(hit, drawn, ids), text.lengths[part].long())
        logits = model.hooked.run(tokens, edits, weights=model.weights).logits
        assert logits is not None
        following = torch.arange(1, ids.shape[1]) < text.lengths[part][:, None]
        likely = logits[:, :-1][following].log_softmax(1)
        wanted = ids[:, 1:][following]
        document = text.document[part].long()[:, None].expand(following.shape)[following]
        best = likely.max(1)
        found.append((-likely.gather(1, wanted[:, None])[:, 0], best.indices == wanted, best.values.exp(), document))
    return Answers(*(torch.cat(column) for column in zip(*found, strict=True)))


def calibration_error(right: Bool[Tensor, " m"], confidence: Float[Tensor, " m"], bins: int = _BINS) -> float:
    """Expected calibration error: |accuracy - confidence| over equal bins of confidence, weighted by their answers."""
    place = (confidence * bins).long().clamp_max(bins - 1)
    sums = torch.zeros(2, bins, dtype=torch.float64)
    sums[0].index_add_(0, place, right.double())
    sums[1].index_add_(0, place, confidence.double())
    return float((sums[0] - sums[1]).abs().sum() / len(right))


@torch.no_grad()
def density(model: LazyModel, text: PackedText) -> tuple[list[float], Float[Tensor, "layers f"]]:
    """The mean density of every layer, and the share of tokens in which each of its neurons fires."""
    chosen = torch.arange(_SEQUENCES) * len(text) // _SEQUENCES
    sites = [Site("mlp_post", layer) for layer in range(model.hooked.shape.n_layers)]
    rates: list[Tensor] = []
    for part in chosen.split(_BATCH):
        tokens = TokenBatch(text.ids[part].long(), text.lengths[part].long())
        run = model.hooked.run(tokens, model.edits, sites=sites, weights=model.weights, logits=False)
        rates.append(torch.stack([(run.activations[site][:, 1:] > 0).double().mean((0, 1)) for site in sites]))
    found = torch.stack(rates).mean(0)
    return found.mean(1).tolist(), found


def measure_lazy(model: LazyModel, train: PackedText, heldout: PackedText, start: dict[str, float]) -> dict[str, Any]:
    """Everything that is shipped of a run, as JSON data.

    Args:
        start: the densities before training, as `DensityProbe` names them.
    """
    plain = answers(model, heldout)
    held, rates = density(model, heldout)
    seen, _ = density(model, train)
    robustness = []
    for kind, amounts in (("random characters", NOISES), ("Gaussian on embeddings", SPREADS)):
        for amount in amounts:
            found = answers(model, heldout, amount, 0.0) if kind == "random characters" else None
            found = answers(model, heldout, 0.0, amount) if found is None else found
            robustness.append(
                {
                    "noise": kind,
                    "amount": amount,
                    "loss": float(found.losses.mean()),
                    "accuracy": float(found.right.double().mean()),
                }
            )
    layers = [key for key in start if key.startswith("density.")]
    first = {"step": 0, "tokens": 0, "loss": None, "density": [start[key] for key in layers]}
    curve = [
        {
            "step": record["step"],
            "tokens": record["tokens"],
            "loss": record["cross_entropy"],
            "density": [record[key] for key in layers],
        }
        for record in model.trained.metrics
    ]
    return {
        "run": model.run.model_dump(mode="json"),
        "curve": [first, *curve],
        "loss": float(plain.losses.mean()),
        "accuracy": float(plain.right.double().mean()),
        "calibration_error": calibration_error(plain.right, plain.confidence),
        "characters": len(plain.losses),
        "documents": int(plain.document.unique().numel()),
        "density": held,
        "density_train": seen,
        "dead": (rates == 0).double().mean(1).tolist(),
        "under_10_percent": (rates < 0.1).double().mean(1).tolist(),
        "over_1_percent": (rates > 0.01).double().mean(1).tolist(),
        "robustness": robustness,
    }
