"""Which codes go together, come before and come after some codes."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from workbench.core import ConfigError, Progress, Result, Unit
from workbench.data import PackedText
from workbench.dictionaries import DictionarySet
from workbench.models import HookedModel

from .code_config import CodeSearchConfig
from .code_search import code_unit
from .code_stream import CodeBatch, count_codes, stream_codes

RELATIONS = ("with", "before", "after")
"""On the same token, on the token before, on the token after."""


def code_relations(
    model: HookedModel,
    dictionaries: DictionarySet,
    text: PackedText,
    units: Sequence[Unit],
    config: CodeSearchConfig | None = None,
    weights: Mapping[str, Tensor] | None = None,
    progress: Progress | None = None,
) -> Result:
    """The codes that are active together with, just before and just after some codes more often than elsewhere.

    Pairs lie within one sequence and both tokens count under the mask policy. Memory grows with the number of units
    asked for, not with the text.

    Table `relations`: unit, relation (`with`, `before`: the other is active on the token before, `after`), other,
    count of pairs, given (share of the unit's tokens with such a neighbour), base (share of all counted tokens with
    the other) and lift = given / base; per unit and relation the `rows` with the largest count times log lift.

    Raises:
        ConfigError: a unit of another set, or beyond the width.
    """
    config = config or CodeSearchConfig()
    batches = stream_codes(model, dictionaries, text, config, weights, progress)
    return relate(batches, dictionaries, units, config)


def relate(
    batches: Iterable[CodeBatch], dictionaries: DictionarySet, units: Sequence[Unit], config: CodeSearchConfig
) -> Result:
    """`code_relations` of codes that stream by, wherever they come from."""
    named = [(unit, _member(dictionaries, unit)) for unit in dict.fromkeys(units)]
    widths = {name: member.width for name, member in dictionaries.items()}
    base = {name: torch.zeros(width, dtype=torch.long) for name, width in widths.items()}
    pairs = {
        (unit, relation, name): torch.zeros(width, dtype=torch.long)
        for unit, _ in named
        for relation in RELATIONS
        for name, width in widths.items()
    }
    tokens, asked = 0, {(unit, relation): 0 for unit, _ in named for relation in RELATIONS}
    for batch in batches:
        tokens += int(batch.mask.sum())
        for name, index in batch.codes.items():
            base[name] += count_codes(index[batch.mask], widths[name])
        for unit, member in named:
            for relation, rows in _neighbours(batch, (batch.codes[member] == unit.index).any(-1)).items():
                asked[unit, relation] += int(rows.sum())
                for name, index in batch.codes.items():
                    pairs[unit, relation, name] += count_codes(index[rows], widths[name])
    rows = []
    for unit, member in named:
        for relation in RELATIONS:
            found = []
            for name in dictionaries:
                counts = pairs[unit, relation, name]
                if relation == "with" and name == member:
                    counts[unit.index] = 0
                found += _related(dictionaries, name, counts, base[name], asked[unit, relation], tokens)
            found = sorted(found, key=lambda row: (-row["strength"], row["other"]))[: config.rows]
            rows += [{"unit": str(unit), "relation": relation, **row} for row in found]
    return Result(
        kind="code relations",
        scalars={"tokens": float(tokens)},
        tables={"relations": rows},
        params={"units": [str(unit) for unit, _ in named], **config.model_dump(mode="json")},
        notes=("strength = count times log lift: how much more often than by chance, in nats over all pairs.",),
    )


def _member(dictionaries: DictionarySet, unit: Unit) -> str:
    for name, member in dictionaries.items():
        if unit.site in member.reads and unit.index < member.width:
            return name
    raise ConfigError(
        f"no dictionary of {dictionaries.name} has the code {unit}", hint=f"members: {', '.join(dictionaries)}"
    )


def _neighbours(batch: CodeBatch, on: Bool[Tensor, "b t"]) -> dict[str, Bool[Tensor, "b t"]]:
    """Where the other's codes are read for each relation."""
    on, none = on & batch.mask, torch.zeros(len(on), 1, dtype=torch.bool)
    before, after = torch.cat([on[:, 1:], none], 1), torch.cat([none, on[:, :-1]], 1)
    return {"with": on, "before": before & batch.mask, "after": after & batch.mask}


def _related(
    dictionaries: DictionarySet,
    name: str,
    counts: Int[Tensor, " f"],
    base: Int[Tensor, " f"],
    asked: int,
    tokens: int,
) -> list[dict[str, Any]]:
    if not asked:
        return []
    given, rate = counts.double() / asked, base.double() / tokens
    lift = torch.where(counts > 0, given / rate.clamp_min(1e-30), 1.0)
    strength = counts * lift.log()
    chosen = (strength > 0).nonzero()[:, 0]
    chosen = chosen[strength[chosen].topk(min(len(chosen), 100)).indices].tolist()
    return [
        {
            "other": str(code_unit(dictionaries, dictionaries[name], code)),
            "count": int(counts[code]),
            "given": float(given[code]),
            "base": float(rate[code]),
            "lift": float(lift[code]),
            "strength": float(strength[code]),
        }
        for code in chosen
    ]
