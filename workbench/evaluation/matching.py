"""Optimal matching of directions: which learnt feature is which true one, or another seed's."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from workbench.dictionaries import Dictionary


class Matching(NamedTuple):
    """Pairs (first[i], second[i]) that maximise the summed cosine; as many as the smaller set has rows."""

    first: Int[Tensor, " m"]
    second: Int[Tensor, " m"]
    cosine: Float[Tensor, " m"]


def match(first: Float[Tensor, "f d"], second: Float[Tensor, "g d"]) -> Matching:
    """The optimal one-to-one matching by cosine (Hungarian method); a zero row has cosine 0 with everything."""
    return match_scores(cosines(first, second))


def match_scores(scores: Float[Tensor, "f g"]) -> Matching:
    """The one-to-one matching with the largest sum of given scores; what is no number counts as 0."""
    table = np.nan_to_num(scores.detach().cpu().double().numpy())
    rows, columns = (torch.from_numpy(part) for part in linear_sum_assignment(table, maximize=True))
    return Matching(rows, columns, torch.from_numpy(table)[rows, columns].float())


def cosines(first: Float[Tensor, "f d"], second: Float[Tensor, "g d"]) -> Float[Tensor, "f g"]:
    """Every cosine between two sets of rows."""
    normalise = torch.nn.functional.normalize
    return normalise(first.detach().float()) @ normalise(second.detach().float()).T


def written_rows(dictionary: Dictionary) -> Float[Tensor, "f d"]:
    """What each feature writes, over all written Sites side by side."""
    written = dictionary.writers(torch.arange(dictionary.width, device=dictionary.device))
    return torch.cat([written[site].detach() for site in dictionary.writes], 1)
