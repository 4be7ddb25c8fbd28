"""Compare the units of two models, layers or dictionaries by name."""

from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, Int

from workbench.core import ConfigError, Progress, Result, Silent, Site
from workbench.data import PackConfig, PackedText, open_text, pack
from workbench.dictionaries import DictionarySet
from workbench.models import HookedModel, TokenBatch, load_model
from workbench.workspace import Workspace
from workbench_probes import ConvergentConfig, convergence

from .dictionaries import find_dictionaries

Array = np.ndarray


def converge_by_name(
    place: Workspace,
    first: str,
    second: str,
    text: str,
    config: ConvergentConfig | None = None,
    pack_config: PackConfig | None = None,
    *,
    name: str = "convergence",
    device: str = "auto",
    dtype: str = "float32",
    offline: bool = False,
    progress: Progress | None = None,
) -> Result:
    """`convergence` of two sets of units on one text; saved as `results/<name>`.

    `first` and `second` are NAME@SITE: the features of a dictionary set of the workspace at the Site it reads, or the
    activations of a model there.

    Raises:
        ConfigError: not of that form, or the models have other tokens.
    """
    config, progress = config or ConvergentConfig(), progress or Silent()
    models: dict[str, HookedModel] = {}
    sides = []
    for side in (first, second):
        named, at, site = side.rpartition("@")
        if not at:
            raise ConfigError(f"cannot read {side!r}", hint="write NAME@SITE, e.g. planted-places@resid_post.1")
        known = {entry.name for entry in place.list("dictionaries")}
        members = find_dictionaries(place, named)[0] if named in known else None
        model = _model_of(members) if members is not None else named
        if model not in models:
            models[model] = load_model(model, device=device, dtype=dtype, offline=offline, progress=progress)
        sides.append((models[model], Site.parse(site), members))
    one, other = sides[0][0], sides[1][0]
    if one.tokenizer.hash != other.tokenizer.hash:
        raise ConfigError("units of models with other tokens cannot be compared row by row")
    corpus = open_text(text, offline=offline, progress=progress)
    packed = pack(corpus, one.tokenizer, pack_config or PackConfig(), one.policy)
    read = [_units(model, packed, site, members, config.rows, progress) for model, site, members in sides]
    result = convergence(read[0][0], read[1][0], read[0][1], config, progress)
    result = replace(result, params={**result.params, "first": first, "second": second, "text": packed.ref.id})
    result.save(place.path_of("results", name))
    return result


def _model_of(members: DictionarySet) -> str:
    if members.manifest is None or members.manifest.model is None:
        raise ConfigError(f"{members.name} does not say which model it belongs to")
    return members.manifest.model.id


@torch.no_grad()
def _units(
    model: HookedModel, text: PackedText, site: Site, members: DictionarySet | None, count: int, progress: Progress
) -> tuple[Float[Array, "n f"], Int[Array, " n"]]:
    """The first so many counted rows of sequences spread over the text, and the document of each."""
    mask = text.mask(model.policy, tuple(model.tokenizer.special_ids))
    wanted = min(len(text), -(-2 * count // max(int(mask.sum()) // len(text), 1)))
    chosen = torch.arange(wanted) * len(text) // wanted
    progress.phase(f"read {site}", total=wanted, unit="sequences")
    found, groups = [], []
    for part in chosen.split(8):
        taken, kept = text.take(part), mask[part]
        x = model.capture(TokenBatch(taken.ids.long(), taken.lengths.long()), [site])[site]
        rows = x[kept.to(x.device)].flatten(1).float()
        if members is not None:
            rows = members[site].encode({site: rows}).dense()
        found.append(rows.float().cpu().numpy())
        groups.append(taken.document[:, None].expand(kept.shape)[kept].numpy())
        progress.advance(len(part))
    return np.concatenate(found)[:count], np.concatenate(groups)[:count]
