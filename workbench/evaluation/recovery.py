"""Recovery: a dictionary held against the features that truly made its rows."""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core import Site, child
from workbench.data import PlantedFeatures
from workbench.dictionaries import Dictionary

from .matching import Matching, cosines, match, written_rows

RECOVERED = 0.95
"""A true feature is recovered when its matched decoder row has a cosine above this."""


class Recovery(NamedTuple):
    """What a dictionary made of planted features.

    Attributes:
        matching: true features (first) with the learnt ones (second).
        fvu, floor: of the rows, and the FVU that the true features themselves leave (the noise).
        l0, true_l0: mean number of active features in a row.
        codes: dense values [n, f] of the learnt features; values: the true ones.
        rows: what each learnt feature writes.
    """

    matching: Matching
    fvu: float
    floor: float
    l0: float
    true_l0: float
    codes: Float[Tensor, "n f"]
    values: Float[Tensor, "n g"]
    rows: Float[Tensor, "f d"]

    @property
    def recovered(self) -> float:
        """Share of the true features that are recovered; those beyond the dictionary's width are not."""
        return float((self.matching.cosine > RECOVERED).sum()) / self.values.shape[1]

    @property
    def mean_cosine(self) -> float:
        """Mean matched cosine over the true features; the unmatched ones count 0."""
        return float(self.matching.cosine.sum()) / self.values.shape[1]

    @property
    def frequency(self) -> float:
        """Mean share of the rows in which a true feature is active."""
        return float((self.values != 0).double().mean())

    @property
    def frequency_of_missed(self) -> float:
        """The same for the features that were not recovered; nan when there is none."""
        missed = torch.ones(self.values.shape[1], dtype=torch.bool)
        missed[self.matching.first[self.matching.cosine > RECOVERED]] = False
        return float((self.values[:, missed] != 0).double().mean()) if missed.any() else float("nan")


@torch.no_grad()
def recover(dictionary: Dictionary, planted: PlantedFeatures, rows: int = 20_000, seed: int = 1) -> Recovery:
    """Match decoder rows with true directions, and compare the codes on fresh rows."""
    sample = planted.sample(rows, child(seed, "recovery"))
    inputs: dict[Site, Tensor] = dict.fromkeys(dictionary.sizes, sample.x)
    encoded = dictionary.encode(inputs)
    out = dictionary.decode(encoded)[dictionary.writes[0]] + dictionary.bypass(inputs)[dictionary.writes[0]]
    written, codes = written_rows(dictionary), encoded.dense()
    matching = match(planted.directions, written)
    total = (sample.x - sample.x.mean(0)).square().sum()
    clean = sample.values @ planted.directions
    return Recovery(
        matching,
        float((out - sample.x).square().sum() / total),
        float((clean - sample.x).square().sum() / total),
        float((codes != 0).sum(1).double().mean()),
        float((sample.values != 0).sum(1).double().mean()),
        codes,
        sample.values,
        written,
    )


def chance(planted: PlantedFeatures, width: int, seed: int = 0) -> tuple[float, float]:
    """(recovered, mean cosine) of `width` random directions: the control of every table."""
    draw = torch.Generator().manual_seed(child(seed, "chance"))
    found = match(planted.directions, torch.randn(width, planted.config.d, generator=draw)).cosine
    total = planted.config.features
    return float((found > RECOVERED).sum()) / total, float(found.sum()) / total


def kinds(recovery: Recovery, planted: PlantedFeatures) -> list[dict[str, Any]]:
    """Recovery of parents, children, members of groups and the rest, one record each."""
    has_children = torch.zeros(planted.config.features, dtype=torch.bool)
    has_children[planted.parent[planted.parent >= 0]] = True
    members = {
        "parent": has_children,
        "child": planted.parent >= 0,
        "group member": planted.group >= 0,
        "alone": (planted.parent < 0) & (planted.group < 0) & ~has_children,
    }
    cosine = torch.zeros(planted.config.features).index_put((recovery.matching.first,), recovery.matching.cosine)
    return [
        {
            "kind": kind,
            "features": int(which.sum()),
            "recovered": float((cosine[which] > RECOVERED).double().mean()),
            "mean_cosine": float(cosine[which].mean()),
            "frequency": float((recovery.values[:, which] != 0).double().mean()),
        }
        for kind, which in members.items()
        if which.any()
    ]


@torch.no_grad()
def family_absorption(recovery: Recovery, planted: PlantedFeatures) -> list[dict[str, Any]]:
    """Parents beside their children: does the parent's latent fall silent where a child fires?

    One record per true parent that is matched with all its children: `cosine` of its match; `fires_alone` and
    `fires_with_child`: shares of the rows without and with an active child in which its latent fires; `absorbed`:
    share of the rows with a child in which the parent's latent is silent and the latent matched to the active child
    fires; `towards_parent`: mean cosine of the children's learnt rows with the parent's true direction.
    """
    latent = dict(zip(recovery.matching.first.tolist(), recovery.matching.second.tolist(), strict=True))
    records = []
    for parent in sorted({parent for parent in planted.parent.tolist() if parent >= 0}):
        children = (planted.parent == parent).nonzero().flatten().tolist()
        if not latent.keys() >= {parent, *children}:
            continue
        present, fires = recovery.values[:, parent] != 0, recovery.codes[:, latent[parent]] != 0
        own = [latent[young] for young in children]
        with_child = (recovery.values[:, children] != 0).any(1)
        stands_in = ((recovery.values[:, children] != 0) & (recovery.codes[:, own] != 0)).any(1)
        records.append(
            {
                "parent": parent,
                "cosine": float(recovery.matching.cosine[recovery.matching.first == parent]),
                "fires_alone": _share(fires, present & ~with_child),
                "fires_with_child": _share(fires, with_child),
                "absorbed": _share(~fires & stands_in, with_child),
                "towards_parent": float(cosines(recovery.rows[own], planted.directions[[parent]]).mean()),
            }
        )
    return records


def _share(what: Tensor, among: Tensor) -> float:
    return float((what & among).sum()) / max(int(among.sum()), 1)
