"""Keys by vector quantisation with moving averages (van den Oord et al. 2017, appendix A.1): no label, no gradient."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.core import generator

from .key_value_config import KeyValueConfig


def learn_keys(rows: Float[Tensor, "n h d"], config: KeyValueConfig, seed: int) -> Float[Tensor, "h c d"]:
    """The keys of every head: rows at first, then moved batch by batch to the mean of the rows that choose them.

    N <- decay N + (1 - decay) n, m <- decay m + (1 - decay) s, key = m / N, with n the number and s the sum of the
    rows that a key is nearest to. A key whose N falls below `replace_below` times the mean starts again at a row of
    the batch.
    """
    draw = generator(seed, "keys")
    keys = _first_keys(rows, config.keys, draw)
    if not len(rows) or not config.key_passes:
        return keys
    batch = min(config.key_batch, len(rows))
    typical = batch / config.keys
    count, total = keys.new_full(keys.shape[:2], typical), keys * typical
    for _ in range(config.key_passes):
        order = torch.randperm(len(rows), generator=draw)
        for start in range(0, len(rows) - batch + 1, batch):
            part = rows[order[start : start + batch].to(rows.device)]
            chosen, added = _assigned(part, keys)
            count.mul_(config.decay).add_(chosen, alpha=1 - config.decay)
            total.mul_(config.decay).add_(added, alpha=1 - config.decay)
            _replace_unused_(count, total, part, config.replace_below * typical, typical, draw)
            keys = total / count[..., None]
    return keys


def _first_keys(rows: Float[Tensor, "n h d"], keys: int, draw: torch.Generator) -> Float[Tensor, "h c d"]:
    """Rows drawn for each head by itself, each once before any comes twice; zeros where there is no row."""
    heads = rows.shape[1]
    if not len(rows):
        return rows.new_zeros(heads, keys, rows.shape[2])
    turns = -(-keys // len(rows))
    drawn = [torch.cat([torch.randperm(len(rows), generator=draw) for _ in range(turns)])[:keys] for _ in range(heads)]
    index = torch.stack(drawn, 1).to(rows.device)
    return rows[index, torch.arange(heads, device=rows.device)].transpose(0, 1).contiguous()


def _assigned(
    part: Float[Tensor, "b h d"], keys: Float[Tensor, "h c d"]
) -> tuple[Float[Tensor, "h c"], Float[Tensor, "h c d"]]:
    """How many rows of a batch are nearest to each key, and their sum."""
    nearness = torch.baddbmm(-keys.square().sum(-1)[:, None] / 2, part.transpose(0, 1), keys.transpose(1, 2))
    flat = flat_index(nearness.argmax(-1).T[..., None], keys.shape[1]).flatten()
    chosen = torch.bincount(flat, minlength=keys.shape[0] * keys.shape[1]).to(keys)
    added = keys.new_zeros(len(chosen), keys.shape[2]).index_add_(0, flat, part.flatten(0, 1))
    return chosen.view(keys.shape[:2]), added.view_as(keys)


def _replace_unused_(
    count: Float[Tensor, "h c"],
    total: Float[Tensor, "h c d"],
    part: Float[Tensor, "b h d"],
    least: float,
    typical: float,
    draw: torch.Generator,
) -> None:
    head, key = (count < least).nonzero(as_tuple=True)
    if not len(head):
        return
    row = torch.randint(len(part), (len(head),), generator=draw).to(part.device)
    count[head, key] = typical
    total[head, key] = part[row, head] * typical


def flat_index(index: Int[Tensor, "n h k"], keys: int) -> Int[Tensor, "n h k"]:
    """Number of a key among all heads' keys: head * keys + key."""
    return index + keys * torch.arange(index.shape[1], device=index.device)[:, None]
