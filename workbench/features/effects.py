"""Which tokens a unit promotes and suppresses: as its weights predict, and as the model does when it is taken out."""

from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from workbench.core import CodeTweak, Edit, Result, Unit
from workbench.dictionaries import DictionarySet
from workbench.models import HookedModel, TokenBatch

from .bench import Bench, OneUnit, logit_directions, residual_rows
from .config import CardConfig
from .feature_scan import FeatureScan


def unit_effects(model: HookedModel, dictionaries: DictionarySet, units: Iterable[Unit], count: int = 8) -> Result:
    """The direct logit effect of some units: decoder row, final norm's weight, unembedding.

    The norm's scale is left out, so values compare tokens within a unit, not units with each other. A
    description of the weights (logit lens of the decoder row), not a measured effect.

    Table `unit_effects`: unit, promoted [[token, value], ...], suppressed, largest first.
    """
    bench, rows = Bench(model, dictionaries), []
    for unit in dict.fromkeys(units):
        logits = predicted_logits(bench, unit)
        rows.append({"unit": str(unit), "promoted": _ends(model, logits, count)})
        rows[-1]["suppressed"] = _ends(model, -logits, count, sign=-1)
    note = "Direct path only: decoder row times final norm weight times unembedding, mean over tokens removed."
    return Result("unit_effects", tables={"unit_effects": rows}, notes=(note,))


@torch.no_grad()
def promoted_tokens(bench: Bench, member: str, index: Int[Tensor, " n"], count: int = 3) -> list[list[str]]:
    """For many units of a member at once the tokens that each promotes most by its direct path."""
    logits = logit_directions(bench.model, residual_rows(bench.model, bench.dictionaries[member], index))
    best = logits.topk(min(count, logits.shape[1])).indices.cpu()
    names = bench.model.tokenizer.strings(best.flatten().tolist())
    return [names[row * best.shape[1] : (row + 1) * best.shape[1]] for row in range(len(best))]


def predicted_logits(bench: Bench, unit: Unit) -> Float[Tensor, " v"]:
    """What a unit adds to the logits by its direct path, per unit of its value."""
    written = residual_rows(bench.model, bench.member(unit), torch.tensor([unit.index]))
    return logit_directions(bench.model, written)[0]


@torch.no_grad()
def measured_effects(bench: Bench, scan: FeatureScan, unit: Unit, config: CardConfig | None = None) -> Result:
    """How log-probabilities after random examples change because of a unit: the model as it is, less without it.

    The unit is taken out at the example's last token only, everything after it in the model runs anew. Each example
    is read with at most `window` tokens before it, behind the sequence's first token.

    Table `measured`: token, change (nats, mean over examples), sd, predicted (direct path). Scalar `agreement`:
    correlation of measured and predicted over the vocabulary.
    """
    config = config or CardConfig()
    tokens, last, _ = _windows(scan, unit, config)
    if not len(tokens.ids):
        return Result("measured effects", {"examples": 0.0}, {"measured": []}, notes=("This unit never fired.",))
    rows = torch.zeros(tokens.ids.shape, dtype=torch.bool)
    rows[torch.arange(len(last)), last] = True
    whole = bench.model.run(tokens, bench.in_force(), weights=bench.weights or None)
    without = bench.model.run(tokens, _without(bench, unit, rows), weights=bench.weights or None)
    assert whole.logits is not None
    assert without.logits is not None
    at = torch.arange(len(last), device=whole.logits.device), last.to(whole.logits.device)
    change = whole.logits[at].float().log_softmax(-1) - without.logits[at].float().log_softmax(-1)
    mean, spread = change.mean(0).cpu(), change.std(0, correction=0).cpu()
    predicted = predicted_logits(bench, unit).cpu()
    ends = torch.cat([mean.topk(config.tokens).indices, (-mean).topk(config.tokens).indices.flip(0)]).tolist()
    names = bench.model.tokenizer.strings(ends)
    table = [
        {"token": name, "change": float(mean[i]), "sd": float(spread[i]), "predicted": float(predicted[i])}
        for name, i in zip(names, ends, strict=True)
    ]
    pair = torch.corrcoef(torch.stack([mean - mean.mean(), predicted]))[0, 1] if bool(mean.any()) else torch.tensor(0.0)
    return Result(
        "measured effects",
        {"examples": float(len(last)), "agreement": float(pair.nan_to_num())},
        {"measured": table},
        params={"unit": str(unit), **config.model_dump(mode="json")},
        inputs=scan.inputs(),
        notes=(
            f"Mean over {len(last)} random examples of the log-probability with the unit less without it, "
            f"at its own token; correlation with the direct path over the vocabulary {float(pair.nan_to_num()):.2f}.",
        ),
        seed=config.seed,
    )


def _without(bench: Bench, unit: Unit, rows: Bool[Tensor, "b t"]) -> list[Edit]:
    """Edits that take a unit out at some rows; codebooks stay in force elsewhere."""
    member = bench.member(unit)
    if member.unit_kind != "code":
        return [Edit.through(OneUnit(member, unit), (CodeTweak((0,)),), rows, keep_error=True)]
    others = [edit for edit in bench.in_force() if edit.codec is not member]
    return [*others, Edit.through(member, rows=~rows), Edit.through(member, (CodeTweak((unit.index,)),), rows)]


def _windows(
    scan: FeatureScan, unit: Unit, config: CardConfig
) -> tuple[TokenBatch, Int[Tensor, " n"], Float[Tensor, " n"]]:
    """Random examples cut to windows: tokens, the place of each example in its window, its activation."""
    places, values = scan.places(unit, "random")
    tokens = windows(scan, places[: config.measured], config.window)
    return tokens, tokens.lengths - 1, torch.tensor(values[: config.measured])


def windows(scan: FeatureScan, places: Sequence[int], width: int) -> TokenBatch:
    """The text up to some places of a scan, at most `width` tokens before each, behind the sequence's first token."""
    length, cut = scan.ids.shape[1], []
    for place in places:
        sequence, position = divmod(place, length)
        start = max(position - width, 0)
        head = scan.ids[sequence, :1] if start else scan.ids[sequence, :0]
        cut.append(torch.cat([head, scan.ids[sequence, start : position + 1]]).long())
    lengths = torch.tensor([len(ids) for ids in cut], dtype=torch.long)
    padded = torch.nn.utils.rnn.pad_sequence(cut, batch_first=True) if cut else torch.zeros(0, 1, dtype=torch.long)
    return TokenBatch(padded, lengths)


def _ends(model: HookedModel, scores: torch.Tensor, count: int, sign: int = 1) -> list[list]:
    values, ids = scores.topk(min(count, len(scores)))
    texts = model.tokenizer.strings(ids.tolist())
    return [[text, sign * value] for text, value in zip(texts, values.tolist(), strict=True)]
