"""How codes are used in a scanned text: how often, on which tokens, what stands around them, which go together."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from workbench.core import Result, Unit, position_mask
from workbench.dictionaries import DictionarySet
from workbench.models import HookedModel, TokenBatch

from .code_config import CodeSearchConfig
from .code_relations import relate
from .code_stream import CodeBatch, groups_of
from .feature_scan import FeatureScan
from .units import member_of, unit_of

PLACES = {"before": -1, "at": 0, "after": 1}
"""Where the tokens of a context stand, from the code's."""


def code_use(
    model: HookedModel, dictionaries: DictionarySet, scan: FeatureScan, member: str, top: int = 5, least: int = 1
) -> Result:
    """Every used code of a member: how often, on which tokens, and how mixed these are. The model does not run.

    Table `codes`: unit, group, code, count, share (of the counted tokens), tokens (the `top` most frequent ones),
    top_share (of the code's tokens, the first of them), entropy (of its tokens, in bits); by count. Table `groups`:
    group, codes, dead, dead_share. Codes on fewer than `least` tokens are left out.
    """
    counts, vocabulary = scan.statistic("count", member), model.shape.d_vocab
    pairs = torch.empty(0, dtype=torch.long)
    many = torch.empty(0, dtype=torch.long)
    for batch in scan_batches(model, scan, [member]):
        index = batch.codes[member]
        on = index >= 0
        tokens = batch.tokens.ids[..., None].expand_as(index)[on]
        found, times = torch.unique(index[on] * vocabulary + tokens, return_counts=True)
        pairs, places = torch.unique(torch.cat([pairs, found]), return_inverse=True)
        many = torch.zeros(len(pairs), dtype=torch.long).index_add(0, places, torch.cat([many, times]))
    code, token = pairs // vocabulary, pairs % vocabulary
    share = many / counts[code].clamp_min(1)
    entropy = torch.zeros(len(counts)).index_add(0, code, -share * share.log2())
    order = many.argsort(descending=True)
    order = order[code[order].argsort(stable=True)]
    ends = torch.bincount(code, minlength=len(counts)).cumsum(0).tolist()
    size, strings, rows = len(counts) // groups_of(dictionaries[member]), model.tokenizer.strings, []
    for number in counts.argsort(descending=True, stable=True).tolist():
        if int(counts[number]) < least:
            break
        own = order[(ends[number - 1] if number else 0) : ends[number]][:top]
        rows.append(
            {
                "unit": str(unit_of(dictionaries, member, number)),
                "group": number // size,
                "code": number % size,
                "count": int(counts[number]),
                "share": int(counts[number]) / max(scan.counted_tokens, 1),
                "tokens": strings(token[own].tolist()),
                "top_share": float(share[own[0]]) if len(own) else float("nan"),
                "entropy": float(entropy[number]),
            }
        )
    dead = (counts == 0).view(-1, size).sum(1).tolist()
    groups = [{"group": n, "codes": size, "dead": d, "dead_share": d / size} for n, d in enumerate(dead)]
    return Result(
        "code use",
        {"used": float((counts > 0).sum()), "dead_share": float((counts == 0).double().mean())},
        {"codes": rows, "groups": groups},
        params={"member": member, **scan.source()},
        inputs=scan.inputs(),
        notes=(f"Over {scan.counted_tokens:,} counted tokens; a code that none of them uses is called dead.",),
    )


def code_contexts(model: HookedModel, scan: FeatureScan, unit: Unit, rows: int = 12) -> Result:
    """The tokens before, at and after a code's places. Table `tokens`: place, token, count, share (of the places)."""
    member, found = scan.member(unit.site), {place: [] for place in PLACES}
    positions = []
    for batch in scan_batches(model, scan, [member]):
        on = (batch.codes[member] == unit.index).any(-1).nonzero()
        ids, last = batch.tokens.ids, batch.tokens.lengths[on[:, 0]]
        positions.append(on[:, 1])
        for place, step in PLACES.items():
            there = on[:, 1] + step
            inside = (there >= 0) & (there < last)
            found[place].append(ids[on[inside, 0], there[inside]])
    table: list[dict[str, Any]] = []
    for place, parts in found.items():
        tokens, times = torch.unique(torch.cat(parts), return_counts=True)
        best = times.argsort(descending=True, stable=True)[:rows]
        for text, count in zip(model.tokenizer.strings(tokens[best].tolist()), times[best].tolist(), strict=True):
            share = count / max(int(times.sum()), 1)
            table.append({"place": place, "token": text, "count": count, "share": share})
    where = torch.bincount(torch.cat(positions), minlength=scan.ids.shape[1]).tolist()
    return Result(
        "code contexts",
        {"count": float(sum(where))},
        {"tokens": table, "positions": [{"position": n, "count": count} for n, count in enumerate(where)]},
        params={"unit": str(unit), **scan.source()},
        inputs=scan.inputs(),
    )


def scanned_relations(
    model: HookedModel,
    dictionaries: DictionarySet,
    scan: FeatureScan,
    units: Sequence[Unit],
    config: CodeSearchConfig | None = None,
) -> Result:
    """`code_relations` of the scanned text; the model does not run."""
    for unit in units:
        member_of(dictionaries, unit)
    return relate(scan_batches(model, scan, list(dictionaries)), dictionaries, units, config or CodeSearchConfig())


def code_lift(
    model: HookedModel, dictionaries: DictionarySet, scan: FeatureScan, first: str, second: str, size: int = 20
) -> Result:
    """Which of the most used codes of two members go together more often than by chance, on one token.

    Table `pairs`: first, second (units), count, lift (over independent use), for every pair of the `size` most used.
    """
    rows = [(name, scan.statistic("count", name)) for name in (first, second)]
    chosen = [counts.argsort(descending=True, stable=True)[:size] for _, counts in rows]
    together = torch.zeros(len(chosen[0]), len(chosen[1]))
    for batch in scan_batches(model, scan, list(dict.fromkeys((first, second)))):
        on = [_active(batch.codes[name][batch.mask], own) for (name, _), own in zip(rows, chosen, strict=True)]
        together += on[0].T @ on[1]
    base = [counts[own] / max(scan.counted_tokens, 1) for (_, counts), own in zip(rows, chosen, strict=True)]
    expected = base[0][:, None] * base[1] * scan.counted_tokens
    names = [
        [str(unit_of(dictionaries, name, int(n))) for n in own] for (name, _), own in zip(rows, chosen, strict=True)
    ]
    pairs = [
        {
            "first": a,
            "second": b,
            "count": int(together[i, j]),
            "lift": float(together[i, j] / expected[i, j].clamp_min(1e-9)),
        }
        for i, a in enumerate(names[0])
        for j, b in enumerate(names[1])
    ]
    return Result(
        "code lift", tables={"pairs": pairs}, params={"first": first, "second": second, **scan.source()},
        inputs=scan.inputs(), notes=("lift: how many times more often than if the two were independent.",),
    )  # fmt: skip


def _active(index: Int[Tensor, "n k"], codes: Int[Tensor, " c"]) -> Any:
    """1 where a row has a code, else 0: [n, c]."""
    return (index[:, :, None] == codes).any(1).float()


def scan_batches(model: HookedModel, scan: FeatureScan, members: Sequence[str]) -> Iterator[CodeBatch]:
    """The scanned sequences with the codes of some members, shard by shard."""
    keep: Bool[Tensor, "s t"] = position_mask(
        scan.ids, scan.manifest.mask or model.policy, model.tokenizer.special_ids, scan.lengths
    )
    for shards in zip(*(scan.codes(member) for member in members), strict=True):
        first, count = shards[0][0], len(shards[0][1])
        part = slice(first, first + count)
        codes = {
            name: torch.where(value != 0, index.long(), -1)
            for name, (_, index, value) in zip(members, shards, strict=True)
        }
        tokens = TokenBatch(scan.ids[part].long(), scan.lengths[part].long())
        yield CodeBatch(tokens, [], keep[part], torch.zeros(count, dtype=torch.long), codes)
