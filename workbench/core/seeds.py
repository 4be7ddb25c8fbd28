"""Child seeds by name, so that no two random draws share a stream and nothing is seeded globally."""

import hashlib

import torch


def child(seed: int, *names: str | int) -> int:
    """A 63-bit seed that depends on the parent seed and on every name."""
    text = "/".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *names: str | int) -> torch.Generator:
    """A CPU generator seeded with `child(seed, *names)`."""
    return torch.Generator().manual_seed(child(seed, *names))
