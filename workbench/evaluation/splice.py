"""Cross-entropy and KL of the model with dictionaries in the place of what they reconstruct."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from workbench.core import Edit, Site
from workbench.dictionaries import Dictionary
from workbench.models import HookedModel

from .batches import TextBatch
from .bootstrap import Estimate, ratio
from .config import EvaluateConfig

ABLATIONS = ("mean", "zero")
"""Replacements that say nothing of the text: what recovery is measured against."""


@dataclass(frozen=True)
class Replacement:
    """What stands in the model's place in one measurement.

    Attributes:
        variant: `dictionary`, `mean`, `zero`, or the name of a control.
        codecs: dictionaries spliced in; values: Site -> the vector put there.
        layer: the only layer replaced, None when all are.
    """

    variant: str
    codecs: tuple[Dictionary, ...] = ()
    values: Mapping[Site, Float[Tensor, " d"]] | None = None
    layer: int | None = None

    def edits(self, mask: Bool[Tensor, "b t"]) -> list[Edit]:
        """The replacement at the positions that count; elsewhere the model stays as it is."""
        spliced = [Edit.through(codec, rows=mask) for codec in self.codecs]
        return spliced + [Edit.set(site, value, rows=mask) for site, value in (self.values or {}).items()]


class Splice:
    """Sums of next-token losses per document, for the model alone and for every replacement."""

    def __init__(
        self, model: HookedModel, replacements: Sequence[Replacement], documents: int, config: EvaluateConfig
    ) -> None:
        self.model, self.replacements, self.config = model, list(replacements), config
        self._n = torch.zeros(documents, dtype=torch.float64)
        self._ce = torch.zeros(1 + len(self.replacements), documents, dtype=torch.float64)
        self._kl = torch.zeros(len(self.replacements), documents, dtype=torch.float64)

    @torch.no_grad()
    def add(self, batch: TextBatch) -> None:
        """Measure one batch; a position counts if the mask keeps it and a next token exists."""
        reference = self._logits(batch, [])
        counted = batch.mask.clone()
        last = batch.tokens.lengths - 1
        counted[torch.arange(len(last)), last] = False
        self._n.index_add_(0, batch.document, counted.sum(1).double())
        self._add_losses(self._ce[0], None, batch, counted, reference, reference)
        for number, replacement in enumerate(self.replacements):
            logits = self._logits(batch, replacement.edits(batch.mask))
            self._add_losses(self._ce[number + 1], self._kl[number], batch, counted, logits, reference)

    def _logits(self, batch: TextBatch, edits: list[Edit]) -> Float[Tensor, "b t v"]:
        logits = self.model.run(batch.tokens, edits).logits
        assert logits is not None
        return logits

    def _add_losses(
        self,
        ce: Float[Tensor, " documents"],
        kl: Float[Tensor, " documents"] | None,
        batch: TextBatch,
        counted: Bool[Tensor, "b t"],
        logits: Float[Tensor, "b t v"],
        reference: Float[Tensor, "b t v"],
    ) -> None:
        # One sequence at a time: the log-probabilities of a whole batch would double the peak memory.
        for row, document in enumerate(batch.document.tolist()):
            at = counted[row].nonzero().flatten().to(logits.device)
            if not len(at):
                continue
            found = logits[row, at].float().log_softmax(1)
            following = batch.tokens.ids[row].to(at.device)[at + 1]
            ce[document] -= found.gather(1, following[:, None]).double().sum().cpu()
            if kl is not None:
                wanted = reference[row, at].float().log_softmax(1)
                kl[document] += (wanted.exp() * (wanted - found)).double().sum().cpu()

    def records(self) -> list[dict[str, Any]]:
        """The table `splice`: the model alone, then every replacement."""
        records = [self._record("model", None, "none", self._ce[0], None)]
        for number, replacement in enumerate(self.replacements):
            where = "all" if replacement.layer is None else f"layer {replacement.layer}"
            losses = self._ce[number + 1], self._kl[number]
            records.append(self._record(replacement.variant, replacement.layer, where, *losses))
        return records

    def _record(self, variant: str, layer: int | None, where: str, ce: Tensor, kl: Tensor | None) -> dict[str, Any]:
        seen = self._n > 0
        n = self._n[seen].numpy()
        found = {"ce": ratio(ce[seen].numpy(), n, self.config)}
        found["kl"] = Estimate(0.0, 0.0, 0.0) if kl is None else ratio(kl[seen].numpy(), n, self.config)
        if layer is None and variant not in ABLATIONS:
            found |= self._recovered(ce, torch.zeros_like(ce) if kl is None else kl)
        record: dict[str, Any] = {"variant": variant, "replaced": where, "layer": layer}
        for key, estimate in found.items():
            record |= {key: estimate.value, f"{key}_low": estimate.low, f"{key}_high": estimate.high}
        return record | {"n": int(n.sum()), "documents": int(seen.sum())}

    def _recovered(self, ce: Tensor, kl: Tensor) -> dict[str, Estimate]:
        """Share of an ablation's damage that is undone, for every ablation that was measured."""
        seen, found = self._n > 0, {}
        for number, replacement in enumerate(self.replacements):
            if replacement.variant not in ABLATIONS or replacement.layer is not None:
                continue
            ablated, divergence = self._ce[number + 1][seen], self._kl[number][seen]
            damage = (ablated - self._ce[0][seen]).numpy()
            found[f"ce_recovered_{replacement.variant}"] = ratio((ablated - ce[seen]).numpy(), damage, self.config)
            undone = (divergence - kl[seen]).numpy()
            found[f"kl_recovered_{replacement.variant}"] = ratio(undone, divergence.numpy(), self.config)
        return found
