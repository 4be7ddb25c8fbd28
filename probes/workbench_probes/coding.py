"""How many nats a cloud of tokens takes to tell: the coding rate, of the whole cloud and within subspaces."""

import torch
from jaxtyping import Float
from torch import Tensor

EPSILON = 0.01
"""Distortion that CRATE's own code allows."""


def coding_rate(rows: Float[Tensor, "*batch n d"], epsilon: float = EPSILON) -> Float[Tensor, "*batch"]:
    """R(Z) = 1/2 logdet(I + d / (n epsilon^2) Z Z^T), in nats (Ma et al. 2007; Yu et al. 2023, equation 1)."""
    n, d = rows.shape[-2:]
    z = rows.double()
    gram = z @ z.transpose(-1, -2) if n < d else z.transpose(-1, -2) @ z
    one = torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    return torch.linalg.slogdet(one + gram * (d / (n * epsilon**2))).logabsdet / 2


def subspace_rate(inside: Float[Tensor, "*batch h n p"], epsilon: float = EPSILON) -> Float[Tensor, "*batch"]:
    """R^c(Z | U): the coding rates of the tokens' coordinates in each subspace, added up.

    It falls as the tokens of a picture move together within every subspace.
    """
    return coding_rate(inside, epsilon).sum(-1)
