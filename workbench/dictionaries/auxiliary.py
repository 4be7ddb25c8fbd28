"""AuxK: dead features learn what the living ones miss (Gao et al. 2024, appendix A.2)."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from sparse_kernels import encode_topk, keep_topk_, linear, reconstruction_error, take_rows

DENSE_UP_TO = 8
"""Dead features for each one that may be active, up to which dense products are faster than sparse sums."""


class Chosen(NamedTuple):
    """A dictionary's weights, and its rows of some features; gradients of both reach the same parameters."""

    encoder: Float[Tensor, "f d"]
    bias: Float[Tensor, " f"]
    decoder: Float[Tensor, "f e"]
    encoder_rows: Float[Tensor, "m d"]
    bias_rows: Float[Tensor, " m"]
    decoder_rows: Float[Tensor, "m e"]


def choose_rows(
    encoder: Float[Tensor, "f d"], bias: Float[Tensor, " f"], decoder: Float[Tensor, "f e"], mask: Bool[Tensor, " f"]
) -> Chosen:
    """The weights, to go on with, and their rows where `mask` is true, without a second gradient of full size."""
    index = mask.nonzero().flatten()
    whole, rows = zip(*(take_rows(weight, index) for weight in (encoder, bias, decoder)), strict=True)
    return Chosen(*whole, *rows)


def auxiliary_loss(
    x: Float[Tensor, "n d"],
    encoder: Float[Tensor, "m d"],
    bias: Float[Tensor, " m"],
    decoder: Float[Tensor, "m e"],
    residual: Float[Tensor, "n e"],
    k: int,
) -> Float[Tensor, ""]:
    """|e - e'|^2 over the batch, where e' decodes the k largest of the dead features' activations.

    Args:
        encoder, bias, decoder: the rows of the dead features.
        residual: reconstruction less target, -e; a constant, so that the living features learn nothing from it.
        k: how many of the dead may be active in a row (the paper: a power of 2 near half of d).
    """
    dead = len(encoder)
    k = min(k, dead)
    if dead > DENSE_UP_TO * k:
        index, value = encode_topk(x, encoder, bias, k)
        error, _ = reconstruction_error(index, value, decoder, residual, torch.zeros_like(residual))
        return error.sum()
    codes = linear(x, encoder, bias)
    codes = torch.relu(codes) if k == dead else keep_topk_(codes, k)
    return linear(codes, decoder.T).add_(residual).square().sum()
