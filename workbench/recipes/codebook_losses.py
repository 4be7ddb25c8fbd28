"""What codebooks cost a language model: cross-entropy with and without them on the same held-out tokens."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from workbench.core import Edit, Progress, Silent, write_json
from workbench.data import PackedText
from workbench.dictionaries import DictionarySet
from workbench.evaluation import EvaluateConfig, ratio
from workbench.models import HookedModel, TokenBatch
from workbench.training import next_token_losses

BATCH = 8
"""Sequences in one forward pass."""


class CodebookLosses:
    """Cross-entropies of variants of one model on the same sequences, with intervals over documents."""

    def __init__(self, model: HookedModel, text: PackedText, sequences: int, seed: int = 0) -> None:
        self.model, self.text = model, text.take(torch.arange(min(sequences, len(text))))
        self.inputs = {"model": model.ref.weight_hash, "text": self.text.hash}
        self._config = EvaluateConfig(seed=seed)
        self._sums: dict[str, np.ndarray] = {}
        self._what: dict[str, str] = {}
        self._n = np.zeros(len(text.document_ids))
        np.add.at(self._n, self.text.document.numpy(), self.text.lengths.numpy() - 1)

    @torch.no_grad()
    def measure(
        self,
        name: str,
        what: str,
        edits: Sequence[Edit] = (),
        weights: Mapping[str, Tensor] | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Add a variant: `edits` in force, `weights` in the place of the model's."""
        progress = progress or Silent()
        progress.phase(f"measure {name}", total=len(self.text), unit="sequences")
        sums = np.zeros(len(self._n))
        for batch, document in self._batches():
            logits = self.model.run(batch, edits, weights=weights or None).logits
            assert logits is not None
            losses = next_token_losses(logits, batch.ids, batch.lengths).double().cpu().numpy()
            np.add.at(sums, np.repeat(document, batch.lengths.cpu().numpy() - 1), losses)
            progress.advance(len(document))
        self._sums[name], self._what[name] = sums, what

    @torch.no_grad()
    def use(
        self, books: DictionarySet, weights: Mapping[str, Tensor], progress: Progress | None = None
    ) -> dict[str, dict[str, Any]]:
        """For every book how many codes the sequences use, how much of what it reads is left, and its use by code."""
        progress = progress or Silent()
        progress.phase("measure use", total=len(self.text), unit="sequences")
        counts = {name: torch.zeros(book.width, dtype=torch.long) for name, book in books.items()}
        for batch, document in self._batches():
            edits = [Edit.through(book) for book in books.values()]
            found = self.model.run(batch, edits, weights=weights or None, logits=False).codes
            for name, book in books.items():
                index = found[book.name].index.flatten().cpu()
                counts[name] += torch.bincount(index, minlength=book.width)
            progress.advance(len(document))
        return {
            name: {"used": int((count > 0).sum()), "used_share": float((count > 0).double().mean())}
            for name, count in counts.items()
        }

    def _batches(self):
        for start in range(0, len(self.text), BATCH):
            part = slice(start, start + BATCH)
            longest = int(self.text.lengths[part].max())
            ids, lengths = self.text.ids[part, :longest].long(), self.text.lengths[part].long()
            yield TokenBatch(ids.to(self.model.device), lengths.to(self.model.device)), self.text.document[part].numpy()

    def records(self) -> list[dict[str, Any]]:
        """One row for each variant: its cross-entropy and its gap to the model, in nats a token, with intervals."""
        rows, seen = [], self._n > 0
        base = self._sums.get("model", np.zeros_like(self._n))
        for name, sums in self._sums.items():
            ce = ratio(sums[seen], self._n[seen], self._config)
            gap = ratio((sums - base)[seen], self._n[seen], self._config)
            rows.append(
                {"variant": name, "what": self._what[name]}
                | {"ce": ce.value, "ce_low": ce.low, "ce_high": ce.high}
                | {"gap": gap.value, "gap_low": gap.low, "gap_high": gap.high, "tokens": int(self._n.sum())}
            )
        return rows

    def scalars(self) -> dict[str, float]:
        """`ce_<variant>`, and `gap_<variant>` to the model as it came."""
        found = {}
        for row in self.records():
            found[f"ce_{row['variant']}"] = row["ce"]
            if row["variant"] != "model":
                found[f"gap_{row['variant']}"] = row["gap"]
        if "trained" in self._sums:
            # Without trained weights the model without codes is the model as it came.
            found.setdefault("ce_codes_off", found.get("ce_model", float("nan")))
            found.setdefault("gap_codes_off", 0.0)
        return found

    def notes(self) -> tuple[str, ...]:
        return (
            f"Cross-entropy in nats a token on {int(self._n.sum())} held-out tokens of {self.text.ref.id} "
            f"({int((self._n > 0).sum())} documents, model in {self.model.ref.dtype}); intervals: bootstrap over "
            "documents.",
            "Codes stand at every position, the first included.",
        )

    def write(self, path: Path) -> None:
        """Keep what was measured, so that a run that is gone on with need not measure it again."""
        sums = {name: {"what": self._what[name], "sums": list(map(float, s))} for name, s in self._sums.items()}
        write_json(path, {"text": self.text.hash, "sums": sums})

    def read(self, path: Path) -> None:
        """Take over what `write` kept, if it was measured on the same text."""
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["text"] == self.text.hash:
            for name, found in data["sums"].items():
                self._sums[name], self._what[name] = np.asarray(found["sums"]), found["what"]
