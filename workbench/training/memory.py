"""Will a run fit into memory: the arithmetic before the first step."""

import psutil
import torch

from workbench.core import ConfigError
from workbench.dictionaries import DictionarySet
from workbench.store import Rows

MOST_KEPT = 1e9
"""Bytes of rows kept at most; they are gone once training has passed them."""


def check_memory(dictionaries: DictionarySet, rows: Rows) -> None:
    """Refuse a run whose weights, optimiser states and rows need more than the memory that is available.

    For each weight: itself, Adam's two averages, and its gradient while its dictionary makes a step (one at a time).
    A checkpoint is written one dictionary at a time and holds a second copy of weights and averages meanwhile. Rows:
    one chunk at every Site. Weights on the device `meta` are yet to be made; others are there already.

    Raises:
        ConfigError: it would not fit; the message has the sum.
    """
    sizes = [_bytes(dictionary) for dictionary in dictionaries.values()]
    sites = {site: size for dictionary in dictionaries.values() for site, size in dictionary.sizes.items()}
    chunk = rows.total_rows / max(rows.n_chunks, 1) * sum(sites.values()) * 4
    made = sum(
        size for size, dictionary in zip(sizes, dictionaries.values(), strict=True) if dictionary.device.type != "meta"
    )
    states, working = 3 * sum(sizes), 3 * max(sizes, default=0)
    needed, available = states + working + chunk, available_memory(dictionaries) + made
    if needed <= available:
        return
    numbers = sum(sum(p.numel() for p in dictionary.parameters()) for dictionary in dictionaries.values())
    raise ConfigError(
        f"training {numbers / 1e6:,.0f} million weights does not fit into memory",
        found=(
            f"weights and Adam's averages {states / 1e9:.1f} GB + gradients or a checkpoint of the largest "
            f"{working / 1e9:.1f} GB + rows {chunk / 1e9:.1f} GB = {needed / 1e9:.1f} GB; "
            f"{available / 1e9:.1f} GB are there for it"
        ),
        hint="take fewer features, layers or dictionaries at a time, or fewer sequences in a chunk",
    )


def room_to_keep(dictionaries: DictionarySet) -> float:
    """Bytes of rows that may be kept from the look before training until it uses them."""
    return min(MOST_KEPT, available_memory(dictionaries) / 8)


def available_memory(dictionaries: DictionarySet) -> float:
    """Free bytes where the dictionaries are."""
    devices = {dictionary.device for dictionary in dictionaries.values()}
    if any(device.type == "cuda" for device in devices):
        return float(min(torch.cuda.mem_get_info(device)[0] for device in devices if device.type == "cuda"))
    return float(psutil.virtual_memory().available)


def _bytes(dictionary: torch.nn.Module) -> int:
    return sum(parameter.numel() * parameter.element_size() for parameter in dictionary.parameters())
