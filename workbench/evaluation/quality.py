"""How well dictionaries reconstruct what they write, streamed over text."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from workbench.core import Site
from workbench.dictionaries import Dictionary, median_norm

from .bootstrap import Estimate, ratio
from .config import EvaluateConfig

DICTIONARY = "dictionary"


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
        self._fired = torch.zeros(self.judged.width, dtype=torch.bool)
        self._rows: dict[str, list[Tensor]] = {}

    @property
    def judged(self) -> Dictionary:
        return self.variants[DICTIONARY]

    @torch.no_grad()
    def add(self, inputs: Mapping[Site, Float[Tensor, "n d"]], document: Int[Tensor, " n"]) -> None:
        """Take in the rows of a batch; the first one with rows sets the outlier limit."""
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
        for name, dictionary in self.variants.items():
            self._add_variant(name, dictionary, inputs, target)

    def _add_variant(
        self, name: str, dictionary: Dictionary, inputs: Mapping[Site, Tensor], target: Float[Tensor, "n d"]
    ) -> None:
        codes = dictionary.encode(inputs)
        out = dictionary.decode(codes)[self.site] + dictionary.bypass(inputs)[self.site]
        error = (out - target).double().square().sum(1)
        self._keep(**{f"error/{name}": error, f"cosine/{name}": torch.cosine_similarity(out, target)})
        if name == DICTIONARY:
            self._keep(l0=codes.l0())
            self._fired[codes.index[codes.value != 0].cpu()] = True

    def _keep(self, **rows: Tensor) -> None:
        for name, values in rows.items():
            self._rows.setdefault(name, []).append(values.cpu())

    def mean(self) -> Float[Tensor, " d"]:
        """The mean of the counted rows, outliers included."""
        return (self._sums[False].sum(0) / max(len(self._all("kept")), 1)).float()

    def record(self) -> dict[str, Any]:
        """One row of the table `layers`."""
        kept = self._all("kept")
        record: dict[str, Any] = {
            "layer": self.site.layer,
            "site": str(self.site),
            "dictionary": self.judged.name,
            "family": self.judged.family,
        }
        for name in self.variants:
            record |= self._measures(name, "" if name == DICTIONARY else f"_{name}", kept)
        return record | {
            "l0": float(self._all("l0")[kept].double().mean()),
            "dead_share": float((~self._fired).double().mean()) if len(self._fired) else float("nan"),
            "width": self.judged.width,
            "rows": int(kept.sum()),
            "dropped_share": float((~kept).double().mean()),
        }

    def _measures(self, name: str, suffix: str, kept: Bool[Tensor, " n"]) -> dict[str, float]:
        filtered, everything = self._fvu(name, kept), self._fvu(name, None)
        cosine = float(self._all(f"cosine/{name}")[kept].double().mean())
        found = {f"fvu{suffix}": filtered.value, f"fvu_all_rows{suffix}": everything.value, f"cosine{suffix}": cosine}
        if not suffix:
            found |= {"fvu_low": filtered.low, "fvu_high": filtered.high}
        return found

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
        return ratio(errors[seen].numpy(), deviation[seen].numpy(), self.config, f"fvu/{self.site}")

    def _by_document(self, document: Int[Tensor, " n"], values: Float[Tensor, " n"]) -> Float[Tensor, " documents"]:
        return torch.zeros(self.documents, dtype=torch.float64).index_add_(0, document, values.double())

    def _all(self, name: str) -> Tensor:
        return torch.cat(self._rows[name])
