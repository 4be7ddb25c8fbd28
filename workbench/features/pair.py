"""Two units side by side: do they read the same, write the same, and are they active on the same tokens?"""

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core import Codes, ConfigError, Result, Unit

from .bench import Bench, residual_rows
from .feature_scan import FeatureScan


@torch.no_grad()
def compare_units(
    first: tuple[Bench, FeatureScan | None, Unit], second: tuple[Bench, FeatureScan | None, Unit]
) -> Result:
    """Two units of one model, of the same dictionaries or of others.

    Scalars, as far as they can be told (notes say why one is missing): `written_cosine` (of what they write into the
    residual stream), `read_cosine` (of the vectors by which they read, where both are linear and of one size),
    `first_count`, `second_count` and `together` (tokens), `lift` (how much more often the second is active where the
    first is than anywhere), `overlap` (tokens of both over tokens of either), `correlation` (of their activations over
    all counted tokens).

    Raises:
        ConfigError: a unit that its dictionaries do not have, or two models.
    """
    (bench, scan, one), (other_bench, other_scan, other) = first, second
    if bench.model.ref.weight_hash != other_bench.model.ref.weight_hash:
        raise ConfigError("two units of one model are compared", f"{bench.model.ref.id} and {other_bench.model.ref.id}")
    scalars, notes = {}, []
    written, read = (
        [take(at, unit) for at, unit in ((bench, one), (other_bench, other))] for take in (_written, _read)
    )
    for name, rows, what in (("written_cosine", written, "writes into"), ("read_cosine", read, "reads linearly from")):
        found = [row for row in rows if row is not None]
        if len(found) == 2 and found[0].shape == found[1].shape:
            scalars[name] = float(torch.nn.functional.cosine_similarity(found[0], found[1], dim=0))
        else:
            notes.append(f"{name.replace('_', ' ')}: not both {what} a space of the same size.")
    if scan is None or other_scan is None:
        notes.append("No co-activation: both sets must have been scanned.")
    elif not torch.equal(scan.ids, other_scan.ids):
        notes.append("No co-activation: the two sets were scanned on different text.")
    else:
        scalars |= _together(_activations(scan, one), _activations(other_scan, other), scan.counted_tokens)
    if one.site != other.site:
        notes.append(f"They read at different places of the model: {one.site} and {other.site}.")
    return Result(
        "unit comparison",
        scalars,
        {"units": [{"side": side, "unit": str(unit)} for side, unit in (("first", one), ("second", other))]},
        params={"first": str(one), "second": str(other)},
        inputs={side: held.manifest.content_hash for side, held in (("first", scan), ("second", other_scan)) if held},
        notes=tuple(notes),
    )


def _written(bench: Bench, unit: Unit) -> Float[Tensor, " m"] | None:
    try:
        return residual_rows(bench.model, bench.member(unit), torch.tensor([unit.index]))[0].float().cpu()
    except ConfigError:
        bench.member(unit)  # a unit that is not there is no question of directions
        return None


def _read(bench: Bench, unit: Unit) -> Float[Tensor, " d"] | None:
    member = bench.member(unit)
    index = torch.tensor([[unit.index]], device=member.device)
    found = member.readers(Codes(index, torch.ones(1, 1, device=member.device), member.width))
    return None if found is None else found.rows[0].detach().float().cpu()


def _activations(scan: FeatureScan, unit: Unit) -> Float[Tensor, " n"]:
    """A unit's activation at every place of the scanned sequences, 0 where it is silent or nothing is counted."""
    parts = [
        torch.where(index == unit.index, value.float(), 0.0).sum(-1).flatten()
        for _, index, value in scan.codes(scan.member(unit.site))
    ]
    return torch.cat(parts)


def _together(one: Tensor, other: Tensor, tokens: int) -> dict[str, float]:
    here, there = one != 0, other != 0
    both, either = int((here & there).sum()), int((here | there).sum())
    counts = {"first_count": float(here.sum()), "second_count": float(there.sum()), "together": float(both)}
    if not min(counts["first_count"], counts["second_count"]):
        return counts
    x, y = one.double(), other.double()
    # places outside the counted tokens hold zeros and take no part in sums
    covariance = float(x @ y) / tokens - float(x.sum()) * float(y.sum()) / tokens**2
    spread = [float(v @ v) / tokens - (float(v.sum()) / tokens) ** 2 for v in (x, y)]
    return counts | {
        "lift": both * tokens / (counts["first_count"] * counts["second_count"]),
        "overlap": both / either,
        **({"correlation": covariance / (spread[0] * spread[1]) ** 0.5} if min(spread) > 0 else {}),
    }
