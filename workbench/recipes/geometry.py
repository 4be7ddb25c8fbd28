"""Measure a model's representations by name."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core import Progress, Result, Silent, Site
from workbench.data import PackConfig, PackedText
from workbench.models import HookedModel, TokenBatch
from workbench.workspace import Workspace
from workbench_probes import GeometryConfig, geometry

from .subject import open_subject
from .text_rows import parse_sites


def geometry_by_name(
    place: Workspace,
    model: str,
    text: str,
    sites: Sequence[str] = ("resid_post",),
    config: GeometryConfig | None = None,
    pack: PackConfig | None = None,
    *,
    name: str = "geometry",
    device: str = "auto",
    dtype: str = "float32",
    offline: bool = False,
    progress: Progress | None = None,
) -> Result:
    """`geometry` of the counted positions of a text; saved as `results/<name>`."""
    config, progress = config or GeometryConfig(), progress or Silent()
    subject, packed = open_subject(model, text, pack, device=device, dtype=dtype, offline=offline, progress=progress)
    rows = spread_rows(subject, packed, parse_sites(sites, subject), config.rows, progress)
    result = geometry(rows, config, progress)
    params = {**result.params, "model": subject.ref.id, "text": packed.ref.id, "mask": subject.policy.describe()}
    result = replace(result, params=params)
    if not result.partial:
        result.save(place.path_of("results", name))
    return result


def spread_rows(
    model: HookedModel,
    text: PackedText,
    sites: Sequence[Site],
    count: int,
    progress: Progress | None = None,
    batch: int = 8,
) -> dict[Site, Float[Tensor, "n d"]]:
    """Rows of counted positions from sequences spread over a text, a little more than `count`, heads side by side."""
    progress = progress or Silent()
    mask = text.mask(model.policy, tuple(model.tokenizer.special_ids))
    wanted = min(len(text), -(-2 * count // max(int(mask.sum()) // len(text), 1)))
    chosen = torch.arange(wanted) * len(text) // wanted
    progress.phase("read the text", total=wanted, unit="sequences")
    found: dict[Site, list[Tensor]] = {site: [] for site in sites}
    for part in chosen.split(batch):
        taken = text.take(part)
        kept = mask[part]
        for site, x in model.capture(TokenBatch(taken.ids.long(), taken.lengths.long()), sites).items():
            found[site].append(x[kept.to(x.device)].flatten(1).float().cpu())
        progress.advance(len(part))
    return {site: torch.cat(parts) for site, parts in found.items()}
