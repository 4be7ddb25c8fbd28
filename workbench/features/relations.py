"""Which units are like one: alike in what they write, active on the same tokens, connected to it by weights."""

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.core import Codes, Result, Site, Unit
from workbench.dictionaries import Dictionary
from workbench.models import HookedModel

from .bench import Bench, residual_rows
from .code_stream import count_codes
from .feature_scan import FeatureScan
from .units import member_of, unit_of, written_rows


@torch.no_grad()
def similar_units(bench: Bench, scan: FeatureScan | None, unit: Unit, count: int = 12) -> Result:
    """Units that write nearly the same, and units of the same member that are active on the same tokens.

    Table `similar`: unit, cosine (of what is written; over every member that writes vectors of that size), lift (how
    much more often it is active where this unit is than anywhere; same member only), together (tokens). Scalar
    `alignment`: cosine of what the unit reads and what it writes, where both have one size.
    """
    name = member_of(bench.dictionaries, unit)
    member = bench.dictionaries[name]
    own = written_rows(member)[unit.index]
    rows: dict[tuple[str, int], dict[str, Any]] = {}
    for other, dictionary in bench.dictionaries.items():
        if sum(dictionary.sizes[site] for site in dictionary.writes) != len(own):
            continue
        cosine = torch.nn.functional.cosine_similarity(written_rows(dictionary), own[None], dim=1)
        if other == name:
            cosine[unit.index] = -torch.inf
        best = cosine.topk(min(count, len(cosine)))
        for value, index in zip(best.values.tolist(), best.indices.tolist(), strict=True):
            rows[other, index] = {"cosine": value}
    closest = sorted(rows, key=lambda key: -rows[key]["cosine"])[:count]
    rows = {key: rows[key] for key in closest}
    if scan is not None:
        together, lift = coactive(scan, unit)
        for index in _strongest(together, lift, count):
            rows.setdefault((name, index), {})
        for (other, index), row in rows.items():
            if other == name:
                row |= {"lift": float(lift[index]), "together": int(together[index])}
    everything = written_rows(member)
    table = []
    for (other, index), row in rows.items():
        if "cosine" not in row:
            row["cosine"] = float(torch.nn.functional.cosine_similarity(everything[index], own, dim=0))
        table.append(
            {"unit": str(unit_of(bench.dictionaries, other, index)), "cosine": row["cosine"],
             "lift": row.get("lift"), "together": row.get("together")}
        )  # fmt: skip
    scalars = {}
    if (alignment := _alignment(bench, member, unit, own)) is not None:
        scalars["alignment"] = alignment
    return Result(
        "similar units",
        scalars,
        {"similar": table},
        params={"unit": str(unit)},
        inputs=scan.inputs() if scan else {},
        notes=("Cosine of what is written; lift = share of this unit's tokens on which the other is active, over its "
               "share of all tokens.",),
    )  # fmt: skip


def coactive(scan: FeatureScan, unit: Unit) -> tuple[Int[Tensor, " f"], Float[Tensor, " f"]]:
    """On how many tokens each unit of the member is active together with one, and the lift of that."""
    member = scan.member(unit.site)
    width = scan.members[member]
    together = torch.zeros(width, dtype=torch.long)
    for _, index, value in scan.codes(member):
        active = torch.where(value != 0, index, -1).flatten(0, 1).long()
        together += count_codes(active[(active == unit.index).any(1)], width)
    counts = scan.statistic("count", member)
    own, base = max(int(counts[unit.index]), 1), counts.double() / max(scan.counted_tokens, 1)
    lift = torch.where(together > 0, together.double() / own / base.clamp_min(1e-12), 0.0)
    together[unit.index] = 0
    lift[unit.index] = 0.0
    return together, lift.float()


@torch.no_grad()
def connections(bench: Bench, unit: Unit, count: int = 20, scan: FeatureScan | None = None) -> Result:
    """Virtual weights: which earlier units write what this one reads, and which later ones read what it writes.

    weight = reader . (norm weight * what is written), along the residual stream, per unit of the source's value with
    the norm's scale left out; attention between the two is not in it. `expected` = weight times the source's root mean
    square activation where it is active; the order goes by it where there is a scan.

    Table `connections`: side (input, output), unit, weight, expected. Notes say why there are none.
    """
    member = bench.member(unit)
    table: list[dict[str, Any]] = []
    notes = ["Direct path along the residual stream; the norm's scale and attention are left out."]
    reader = _reader(bench.model, member, unit.site, torch.tensor([unit.index]))
    if reader is None:
        notes = ["This unit is no linear function of the residual stream before it, so it has no virtual inputs."]
    elif unit.site.layer is not None:
        for name, dictionary, index in _members(bench, unit, before=True):
            weight = residual_rows(bench.model, dictionary, index) @ reader[0].to(dictionary.device)
            scale = _scales(scan, name)
            table += _top(bench, "input", name, index, weight, None if scale is None else scale[index], count)
    written = residual_rows(bench.model, member, torch.tensor([unit.index]))[0]
    own = scan.scale(unit) if scan else None
    for name, dictionary, index in _members(bench, unit, before=False):
        site = dictionary.reads[int(dictionary.reads_of(index[:1])[0])]
        readers = _reader(bench.model, dictionary, site, index)
        if readers is not None:
            weight = readers @ written.to(readers)
            scale = None if own is None else torch.full((len(index),), own)
            table += _top(bench, "output", name, index, weight, scale, count)
    kept = []
    for side in ("input", "output"):
        mine = [row for row in table if row["side"] == side]
        key = "expected" if scan else "weight"
        kept += sorted(mine, key=lambda row: -abs(row[key] or 0.0))[:count]
    return Result(
        "connections",
        tables={"connections": kept},
        params={"unit": str(unit)},
        inputs=scan.inputs() if scan else {},
        notes=tuple(notes),
    )


def _members(bench: Bench, unit: Unit, before: bool) -> Iterator[tuple[str, Dictionary, Tensor]]:
    """Members, part by part of one layer each, whose writes come before this unit's read (or the other way round)."""
    here = unit.site.layer
    if here is None:
        return
    for name, dictionary in bench.dictionaries.items():
        every = torch.arange(dictionary.width)
        places = dictionary.reads_of(every)
        for number, site in enumerate(dictionary.reads):
            if site.layer is not None and (site.layer < here if before else site.layer > here):
                yield name, dictionary, every[places == number]


def _reader(model: HookedModel, member: Dictionary, site: Site, index: Tensor) -> Float[Tensor, "n m"] | None:
    """What units read of the residual stream before their Site; None where that is no linear function."""
    value = torch.ones(len(index), 1)
    codes = Codes(index[:, None].to(member.device), value.to(member.device), member.width)
    found = member.readers(codes)
    if found is None:
        return None
    rows = found.rows.detach().float()
    if site.kind in ("resid_pre", "resid_mid", "resid_post"):
        return rows
    if site.kind != "mlp_in":
        return None
    weight = model.params().get(f"blocks.{site.layer}.ln2.w")
    rows = rows if weight is None else rows * weight.float().to(rows)
    return rows - rows.mean(1, keepdim=True) if model.shape.norm == "layer" else rows


def _top(
    bench: Bench, side: str, name: str, index: Tensor, weight: Tensor, scale: Tensor | None, count: int
) -> list[dict[str, Any]]:
    expected = weight.cpu() * scale.to(weight.dtype) if scale is not None else weight.cpu()
    best = expected.abs().topk(min(count, len(expected))).indices.tolist()
    return [
        {
            "side": side,
            "unit": str(unit_of(bench.dictionaries, name, int(index[place]))),
            "weight": float(weight[place]),
            "expected": float(expected[place]) if scale is not None else None,
        }
        for place in best
    ]


def _scales(scan: FeatureScan | None, name: str) -> Tensor | None:
    if scan is None or name not in scan.members:
        return None
    return scan.table(name)["scale"]


def _strongest(together: Tensor, lift: Tensor, count: int) -> list[int]:
    """By how many nats more often than by chance, over all pairs."""
    strength = torch.where(together > 1, together * lift.clamp_min(1e-12).log(), 0.0)
    best = strength.topk(min(count, len(strength)))
    return [index for value, index in zip(best.values.tolist(), best.indices.tolist(), strict=True) if value > 0]


def _alignment(bench: Bench, member: Dictionary, unit: Unit, own: Tensor) -> float | None:
    codes = Codes(
        torch.tensor([[unit.index]], device=member.device), torch.ones(1, 1, device=member.device), member.width
    )
    found = member.readers(codes)
    if found is None or found.rows.shape[1] != len(own):
        return None
    return float(torch.nn.functional.cosine_similarity(found.rows[0].detach().float().cpu(), own.cpu(), dim=0))
