"""Cross-entropy and KL of the model with dictionaries in the place of what they reconstruct."""

import hashlib
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

    def key(self) -> str:
        """Equal for replacements that put the same into the model, whatever they are called."""
        found = hashlib.sha256()
        for codec in self.codecs:
            found.update(repr((codec.family, codec.config, codec.reads, codec.writes)).encode())
            for name, tensor in codec.state_dict().items():
                found.update(name.encode() + _bytes(tensor))
        for site, value in (self.values or {}).items():
            found.update(str(site).encode() + _bytes(value))
        return found.hexdigest()


def _bytes(tensor: Tensor) -> bytes:
    tensor = tensor.detach().cpu().contiguous()
    return repr((tensor.dtype, tuple(tensor.shape))).encode() + tensor.flatten().view(torch.uint8).numpy().tobytes()


class Splice:
    """Sums of next-token losses per document, for the model alone and for every replacement, equal ones once."""

    def __init__(
        self, model: HookedModel, replacements: Sequence[Replacement], documents: int, config: EvaluateConfig
    ) -> None:
        self.model, self.config = model, config
        self._keys = {id(replacement): replacement.key() for replacement in replacements}
        self.replacements = list({self._keys[id(each)]: each for each in replacements}.values())
        self._place = {self._keys[id(each)]: number for number, each in enumerate(self.replacements)}
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

    def records(self, replacements: Sequence[Replacement]) -> list[dict[str, Any]]:
        """The table `splice` of some of the replacements: the model alone, then each of them."""
        damages = {
            each.variant: self._losses(each)
            for each in replacements
            if each.variant in ABLATIONS and each.layer is None
        }
        records = [self._record("model", None, "none", self._ce[0], None, damages)]
        for each in replacements:
            where = "all" if each.layer is None else f"layer {each.layer}"
            records.append(self._record(each.variant, each.layer, where, *self._losses(each), damages))
        return records

    def _losses(self, replacement: Replacement) -> tuple[Tensor, Tensor]:
        number = self._place[self._keys[id(replacement)]]
        return self._ce[number + 1], self._kl[number]

    def _record(
        self,
        variant: str,
        layer: int | None,
        where: str,
        ce: Tensor,
        kl: Tensor | None,
        damages: Mapping[str, tuple[Tensor, Tensor]],
    ) -> dict[str, Any]:
        seen = self._n > 0
        n = self._n[seen].numpy()
        found = {"ce": ratio(ce[seen].numpy(), n, self.config)}
        found["kl"] = Estimate(0.0, 0.0, 0.0) if kl is None else ratio(kl[seen].numpy(), n, self.config)
        if layer is None and variant not in ABLATIONS:
            found |= self._recovered(ce, torch.zeros_like(ce) if kl is None else kl, damages)
        record: dict[str, Any] = {"variant": variant, "replaced": where, "layer": layer}
        for key, estimate in found.items():
            record |= {key: estimate.value, f"{key}_low": estimate.low, f"{key}_high": estimate.high}
        return record | {"n": int(n.sum()), "documents": int(seen.sum())}

    def _recovered(self, ce: Tensor, kl: Tensor, damages: Mapping[str, tuple[Tensor, Tensor]]) -> dict[str, Estimate]:
        """Share of an ablation's damage that is undone, for every ablation that was measured."""
        seen, found = self._n > 0, {}
        for variant, (losses, divergences) in damages.items():
            ablated, divergence = losses[seen], divergences[seen]
            damage = (ablated - self._ce[0][seen]).numpy()
            found[f"ce_recovered_{variant}"] = ratio((ablated - ce[seen]).numpy(), damage, self.config)
            undone = (divergence - kl[seen]).numpy()
            found[f"kl_recovered_{variant}"] = ratio(undone, divergence.numpy(), self.config)
        return found
