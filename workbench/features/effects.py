"""Which tokens a feature promotes and suppresses by its direct path to the logits."""

from collections.abc import Iterable

import torch

from workbench.core import Result, Unit
from workbench.dictionaries import DictionarySet
from workbench.models import HookedModel


def unit_effects(model: HookedModel, dictionaries: DictionarySet, units: Iterable[Unit], count: int = 8) -> Result:
    """The direct logit effect of some units: decoder row, final norm's weight, unembedding.

    The norm's scale is left out, so values compare tokens within a unit, not units with each other. A
    description of the weights (logit lens of the decoder row), not a measured effect.

    Table `unit_effects`: unit, promoted [[token, value], ...], suppressed, largest first.
    """
    parameters = model.params()
    unembedding = parameters["unembed.W_U"].float()
    scale = parameters["ln_final.w"].float()
    rows = []
    for unit in dict.fromkeys(units):
        written = dictionaries[unit.site].writers(torch.tensor([unit.index])).values()
        direction = torch.stack([rows[0].to(scale) for rows in written]).sum(0)
        logits = ((direction - direction.mean() if model.shape.norm == "layer" else direction) * scale) @ unembedding
        logits = logits - logits.mean()
        rows.append({"unit": str(unit), "promoted": _ends(model, logits, count)})
        rows[-1]["suppressed"] = _ends(model, -logits, count, sign=-1)
    note = "Direct path only: decoder row times final norm weight times unembedding, mean over tokens removed."
    return Result("unit_effects", tables={"unit_effects": rows}, notes=(note,))


def _ends(model: HookedModel, scores: torch.Tensor, count: int, sign: int = 1) -> list[list]:
    values, ids = scores.topk(min(count, len(scores)))
    texts = model.tokenizer.strings(ids.tolist())
    return [[text, sign * value] for text, value in zip(texts, values.tolist(), strict=True)]
