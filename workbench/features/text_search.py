"""Units on texts of one's own: which fire on one, which at a position of it, and how one of them does."""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.core import ConfigError, Result, Unit, position_mask
from workbench.models import TokenBatch

from .bench import Bench, logit_directions, residual_rows
from .config import SearchConfig
from .feature_scan import FeatureScan
from .units import unit_of


@torch.no_grad()
def search_text(bench: Bench, text: str, scan: FeatureScan | None = None, config: SearchConfig | None = None) -> Result:
    """Units by how strongly they fire on a text, in units of what is usual for them where a scan tells.

    Table `units`: unit, largest, mean (over the counted tokens), tokens (on which it is active), position and token of
    the largest, relative (largest over the root mean square where active), density (in the scan); by relative.
    """
    config = config or SearchConfig()
    tokens = bench.model.tokens(text)
    names = bench.model.tokenizer.strings(tokens.ids[0].tolist())
    counted = position_mask(tokens.ids.cpu(), bench.model.policy, bench.model.tokenizer.special_ids)[0]
    counted = counted if counted.any() else torch.ones_like(counted)
    rows: list[dict[str, Any]] = []
    for name, dense in activations(bench, tokens).items():
        values = dense[0] * counted[:, None]
        size, place = values.abs().max(0)
        table = scan.table(name) if scan and name in scan.members else None
        relative = size / table["scale"].clamp_min(1e-9) if table else size
        if table:  # what hardly fires in the scan has no usual strength
            relative = torch.where(table["count"] >= config.least_count, relative, 0.0)
        best = relative.topk(min(config.rows, len(relative)))
        rows += [
            {
                "unit": str(unit_of(bench.dictionaries, name, i)),
                "largest": float(values[place[i], i]),
                "mean": float(values[counted, i].mean()),
                "tokens": int((values[:, i] != 0).sum()),
                "position": int(place[i]),
                "token": names[int(place[i])],
                "relative": score if table else None,
                "density": float(table["density"][i]) if table else None,
            }
            for score, i in zip(best.values.tolist(), best.indices.tolist(), strict=True)
            if score > 0
        ]
    rows.sort(key=lambda row: -(row["relative"] if row["relative"] is not None else abs(row["largest"])))
    return Result(
        "unit search",
        {"tokens": float(len(names))},
        {"units": rows[: config.rows]},
        params={"mode": "text", "text": text, **config.model_dump(mode="json")},
        inputs=scan.inputs() if scan else {},
        notes=("relative: the largest activation over the root mean square where the unit is active in the scan.",),
    )


@torch.no_grad()
def active_units(
    bench: Bench, ids: Int[Tensor, " t"], position: int, scan: FeatureScan | None = None, rows: int = 50
) -> Result:
    """The units that are active at one position of a prompt, with how usual that is and what share of it they explain.

    Table `units`: unit, activation, relative (over the root mean square where active in the scan), density, logit (of
    the token that the model expects there, direct path); by relative, else by activation. Table `errors`: member, fvu
    of its reconstruction at this position, active units.
    """
    tokens = TokenBatch(ids[None].long(), torch.tensor([len(ids)]))
    sites = {site for member in bench.dictionaries.values() for site in (*member.reads, *member.writes)}
    inputs = {site: x[:, position].flatten(1) for site, x in _inputs(bench, tokens, sorted(sites)).items()}
    logits = bench.model.run(tokens, bench.in_force(), weights=bench.weights or None).logits
    assert logits is not None
    expected = int(logits[0, position].argmax())
    found: list[dict[str, Any]] = []
    errors: list[dict[str, Any]] = []
    for name, member in bench.dictionaries.items():
        codes = member.encode({site: inputs[site] for site in member.reads}).padded()
        there = codes.value[0] != 0
        index, value = codes.index[0][there].long(), codes.value[0][there]
        table = scan.table(name) if scan and name in scan.members else None
        try:
            effect = logit_directions(bench.model, residual_rows(bench.model, member, index))[:, expected].cpu()
        except ConfigError:
            effect = torch.full((len(index),), torch.nan)
        made = member.forward({site: inputs[site] for site in member.reads})
        wanted = inputs[member.writes[0]]
        left = float((wanted - made[member.writes[0]]).square().sum() / wanted.square().sum().clamp_min(1e-12))
        errors.append({"member": name, "fvu": left, "active": int(there.sum())})
        for i, a, e in zip(index.tolist(), value.tolist(), effect.tolist(), strict=True):
            usual = float(table["scale"][i]) if table else 0.0
            found.append(
                {
                    "unit": str(unit_of(bench.dictionaries, name, i)),
                    "activation": a,
                    "relative": abs(a) / usual if usual else None,
                    "density": float(table["density"][i]) if table else None,
                    "logit": a * e,
                }
            )
    found.sort(key=lambda row: -(row["relative"] if row["relative"] is not None else abs(row["activation"])))
    (word,) = bench.model.tokenizer.strings([expected])
    return Result(
        "unit search",
        {"active": float(len(found))},
        {"units": found[:rows], "errors": errors},
        params={"mode": "position", "position": position, "expected": word},
        inputs=scan.inputs() if scan else {},
        notes=(
            f"{len(found):,} units are active at position {position}, {min(rows, len(found))} listed. logit: what each "
            f"adds to {word!r}, the likeliest next token, by its direct path. fvu: what the reconstruction leaves.",
        ),
    )


@torch.no_grad()
def activations_on(bench: Bench, unit: Unit, text: str) -> Result:
    """One unit on a text of one's own. Table `tokens`: position, token, activation, pre_activation (None: no gate)."""
    tokens, member = bench.model.tokens(text), bench.member(unit)
    inputs = _inputs(bench, tokens, list(member.reads))
    flat = {site: inputs[site].flatten(0, 1).flatten(1) for site in member.reads}
    values = member.encode(flat).dense()[:, unit.index].tolist()
    try:
        pre: list[Any] = member.pre_activations(flat)[:, unit.index].tolist()
    except NotImplementedError:
        pre = [None] * len(values)
    names = bench.model.tokenizer.strings(tokens.ids[0].tolist())
    rows = [
        {"position": at, "token": token, "activation": value, "pre_activation": before}
        for at, (token, value, before) in enumerate(zip(names, values, pre, strict=True))
    ]
    return Result(
        "unit on text",
        {"largest": max(values, key=abs), "tokens_active": float(sum(value != 0 for value in values))},
        {"tokens": rows},
        params={"unit": str(unit), "text": text},
    )


def activations(bench: Bench, tokens: TokenBatch) -> dict[str, Float[Tensor, "b t f"]]:
    """Every member's dense codes on some tokens; codebooks stand in the model meanwhile."""
    sites = list(dict.fromkeys(site for member in bench.dictionaries.values() for site in member.reads))
    inputs, (b, t) = _inputs(bench, tokens, sites), tokens.ids.shape
    return {
        name: member.encode({s: inputs[s].flatten(0, 1).flatten(1) for s in member.reads}).dense().view(b, t, -1).cpu()
        for name, member in bench.dictionaries.items()
    }


def _inputs(bench: Bench, tokens: TokenBatch, sites: list) -> dict:
    """What the members read. A codebook writes where it reads, so its own input is taken with it out of force."""
    if not bench.books:
        return bench.model.capture(tokens, sites)
    found = {}
    for site in sites:
        own = [name for name, book in bench.books.items() if site in book.writes]
        run = bench.model.run(tokens, bench.in_force(own), sites=[site], logits=False, weights=bench.weights or None)
        found[site] = run.activations[site]
    return found
