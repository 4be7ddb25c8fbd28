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
from .bootstrap import ratio
from .config import EvaluateConfig


@dataclass(frozen=True)
class Replacement:
    """What stands in the model's place in one measurement.

    Attributes:
        variant: `dictionary`, `mean`, or the name of a control.
        codecs: dictionaries spliced in; means: Site -> the vector put there.
        layer: the only layer replaced, None when all are.
    """

    variant: str
    codecs: tuple[Dictionary, ...] = ()
    means: Mapping[Site, Float[Tensor, " d"]] | None = None
    layer: int | None = None

    def edits(self, mask: Bool[Tensor, "b t"]) -> list[Edit]:
        """The replacement at the positions that count; elsewhere the model stays as it is."""
        spliced = [Edit.through(codec, rows=mask) for codec in self.codecs]
        return spliced + [Edit.set(site, mean, rows=mask) for site, mean in (self.means or {}).items()]


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
        loss = ratio(ce[seen].numpy(), n, self.config, "cross-entropy")
        record = {"variant": variant, "replaced": where, "layer": layer, "ce": loss.value}
        record |= {"ce_low": loss.low, "ce_high": loss.high}
        divergence = None if kl is None else ratio(kl[seen].numpy(), n, self.config, "kl")
        for key, value in zip(("kl", "kl_low", "kl_high"), divergence or (0.0, 0.0, 0.0), strict=True):
            record[key] = value
        return record | {"n": int(n.sum()), "documents": int(seen.sum())}
