"""How well dictionaries reconstruct what they write, streamed over text."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from workbench.core import Codes, Site
from workbench.dictionaries import Dictionary, median_norm

from .bootstrap import Estimate, ratio
from .config import EvaluateConfig
from .firing import Firing

DICTIONARY = "dictionary"
Encoded = dict[Dictionary, Codes]
"""What each dictionary makes of one batch, so that one that writes several Sites encodes once."""


class Quality:
    """Errors of one dictionary, and of controls beside it, at one Site that it writes.

    Args:
        variants: name -> dictionary; the one called `dictionary` is judged, the others stand beside it.
        documents: number of documents of the text.
    """

    def __init__(self, site: Site, variants: Mapping[str, Dictionary], documents: int, config: EvaluateConfig) -> None:
        self.site, self.variants, self.config, self.documents = site, dict(variants), config, documents
        self.limit: float | None = None
        size = self.judged.sizes[site]
        self._sums = {kept: torch.zeros(documents, size, dtype=torch.float64) for kept in (False, True)}
        self._units = {name: units_at(dictionary, site) for name, dictionary in variants.items()}
        self.firing = {name: Firing(dictionary.width, self._units[name]) for name, dictionary in variants.items()}
        self._rows: dict[str, list[Tensor]] = {}

    @property
    def judged(self) -> Dictionary:
        return self.variants[DICTIONARY]

    @torch.no_grad()
    def add(
        self, inputs: Mapping[Site, Float[Tensor, "n d"]], document: Int[Tensor, " n"], encoded: Encoded | None = None
    ) -> None:
        """Take in the rows of a batch; the first one with rows sets the outlier limit.

        `encoded` holds the codes of this batch that others have made, and takes in what is made here.
        """
        target = inputs[self.site].float()
        if not len(target):
            return
        norm = target.norm(dim=1)
        if self.limit is None:
            self.limit = self.config.outlier_factor * median_norm(target)
        kept = norm <= self.limit
        for only_kept, sums in self._sums.items():
            chosen = kept if only_kept else torch.ones_like(kept)
            sums.index_add_(0, document[chosen], target[chosen].double().cpu())
        self._keep(document=document, kept=kept, square=norm.double().square())
        encoded = {} if encoded is None else encoded
        for name, dictionary in self.variants.items():
            if dictionary not in encoded:
                encoded[dictionary] = dictionary.encode(inputs)
            self._add_variant(name, encoded[dictionary], inputs, target)

    def _add_variant(
        self, name: str, codes: Codes, inputs: Mapping[Site, Tensor], target: Float[Tensor, "n d"]
    ) -> None:
        out = self.variants[name].reconstruct_at(codes, inputs, self.site)
        units = self._units[name]
        if units is not None:
            units = units.to(codes.index.device)
            codes = codes.map_values(lambda index, value: torch.where(units[index.long()], value, 0.0))
        self.firing[name].add(codes)
        measured = {
            "error": (out - target).square().sum(1),
            "cosine": torch.cosine_similarity(out, target),
            "inner": (out * target).sum(1),
            "energy": out.square().sum(1),
            "norm": out.norm(dim=1),
            "l0": codes.l0(),
        }
        self._keep(**{f"{key}/{name}": values for key, values in measured.items()})

    def _keep(self, **rows: Tensor) -> None:
        for name, values in rows.items():
            self._rows.setdefault(name, []).append(values.cpu())

    def mean(self) -> Float[Tensor, " d"]:
        """The mean of the counted rows, outliers included."""
        return (self._sums[False].sum(0) / max(len(self._all("kept")), 1)).float()

    def record(self) -> dict[str, Any]:
        """One row of the table `layers`: the dictionary's measures, then `<measure>_<control>` of every control."""
        kept = self._all("kept")
        record: dict[str, Any] = {
            "layer": self.site.layer,
            "site": str(self.site),
            "dictionary": self.judged.name,
            "family": self.judged.family,
        }
        for name in self.variants:
            suffix = "" if name == DICTIONARY else f"_{name}"
            record |= {f"{key}{suffix}": value for key, value in self._measures(name, kept).items()}
        return record | {
            "width": len(self.firing[DICTIONARY].counts),
            "rows": int(kept.sum()),
            "dropped_share": float((~kept).double().mean()),
        }

    def density(self) -> list[dict[str, Any]]:
        """The rows of the table `density`: how many features fire how often."""
        where = {"site": str(self.site), "dictionary": self.judged.name}
        return [where | row for row in self.firing[DICTIONARY].histogram()]

    def _measures(self, name: str, kept: Bool[Tensor, " n"]) -> dict[str, float]:
        size = self.judged.sizes[self.site]
        ones = torch.ones(len(kept), dtype=torch.float64)
        estimates = {
            "fvu": self._fvu(name, kept),
            "mse": self._ratio(f"error/{name}", size * ones, kept),
            "cosine": self._ratio(f"cosine/{name}", ones, kept),
            "shrinkage": self._ratio(f"inner/{name}", self._all(f"energy/{name}"), kept),
            "norm_ratio": self._ratio(f"norm/{name}", self._all("square").sqrt(), kept),
            "l0": self._ratio(f"l0/{name}", ones, kept),
        }
        found = {"fvu_all_rows": self._fvu(name, None).value}
        for key, estimate in estimates.items():
            found |= {key: estimate.value, f"{key}_low": estimate.low, f"{key}_high": estimate.high}
        firing = self.firing[name]
        return found | {"dead_share": firing.dead_share, "dense_share": firing.dense_share(self.config.dense_above)}

    def _ratio(self, name: str, below: Float[Tensor, " n"], kept: Bool[Tensor, " n"]) -> Estimate:
        """Sum of a row's measure over the sum of `below`, over the kept rows."""
        document = self._all("document")[kept]
        numerator = self._by_document(document, self._all(name)[kept])
        denominator = self._by_document(document, below[kept])
        seen = torch.bincount(document, minlength=self.documents) > 0
        return ratio(numerator[seen].numpy(), denominator[seen].numpy(), self.config)

    def _fvu(self, name: str, kept: Bool[Tensor, " n"] | None) -> Estimate:
        """Squared error over squared deviation from the mean, both summed over rows and dimensions."""
        document, error, square = self._all("document"), self._all(f"error/{name}"), self._all("square")
        if kept is not None:
            document, error, square = document[kept], error[kept], square[kept]
        sums = self._sums[kept is not None]
        counts = torch.bincount(document, minlength=self.documents).double()
        mean = sums.sum(0) / counts.sum().clamp_min(1)
        deviation = self._by_document(document, square) - 2 * sums @ mean + counts * mean.square().sum()
        seen = counts > 0
        errors = self._by_document(document, error)
        return ratio(errors[seen].numpy(), deviation[seen].numpy(), self.config)

    def _by_document(self, document: Int[Tensor, " n"], values: Float[Tensor, " n"]) -> Float[Tensor, " documents"]:
        return torch.zeros(self.documents, dtype=torch.float64).index_add_(0, document, values.double())

    def _all(self, name: str) -> Tensor:
        return torch.cat(self._rows[name])


def units_at(dictionary: Dictionary, site: Site) -> Bool[Tensor, " f"] | None:
    """The features that are counted where `site` is written; None: all.

    One that spans layers is counted layer by layer, each feature where it reads, so that L0 and widths add up as
    those of one dictionary for each layer do.
    """
    if not dictionary.spans_layers:
        return None
    return dictionary.reads_of(torch.arange(dictionary.width)) == dictionary.writes.index(site)
