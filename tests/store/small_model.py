"""A small network with the doors that capture asks of a model, and packed text of given lengths."""

import time
from collections.abc import Sequence
from types import SimpleNamespace

import torch
from torch import Tensor

from workbench.core import MaskPolicy, ModelRef, Site, SiteError, TextRef, generator
from workbench.data import PackConfig, PackedText
from workbench.models import HookedModel, TokenBatch

SITES = ("mlp_in.0", "attn_z.0", "mlp_out.1")
VOCABULARY = 50
BOS = 1
SPECIAL = (0, 1, 7)


class SmallModel(HookedModel):
    """Two mixing layers over embedded tokens; every row depends on the tokens before it, as in a language model."""

    def __init__(self, seed: int = 0, width: int = 8, policy: MaskPolicy | None = None, delay: float = 0.0) -> None:
        draw = generator(seed, "small model")
        self.embed = torch.randn(VOCABULARY, width, generator=draw)
        self.layers = [torch.randn(width, width, generator=draw) / width**0.5 for _ in range(2)]
        self.policy = policy or MaskPolicy()
        self.ref = ModelRef(id=f"small-{seed}", weight_hash=f"{seed:064x}", tokenizer_hash="letters")
        self.tokenizer = SimpleNamespace(special_ids=SPECIAL, bos_id=BOS)
        self.delay = delay
        self.batches: list[TokenBatch] = []

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    def capture(self, tokens, sites, edits=()) -> dict[Site, Tensor]:
        time.sleep(self.delay)
        self.batches.append(tokens)
        x = self.embed[tokens.ids].cumsum(1).tanh()
        found = {Site("mlp_in", 0): x}
        x = (x @ self.layers[0]).tanh()
        found[Site("attn_z", 0)] = x.unflatten(-1, (2, -1))
        found[Site("mlp_out", 1)] = (x @ self.layers[1]).tanh()
        for site in map(Site.parse, sites):
            if site not in found:
                raise SiteError(f"no {site}")
        return {Site.parse(site): found[Site.parse(site)] for site in sites}


def expected_rows(model: SmallModel, text, site: str) -> Tensor:
    """The row of every real position, one sequence at a time."""
    rows = []
    for ids, length in zip(text.ids, text.lengths.tolist(), strict=True):
        batch = TokenBatch(ids[None, :length].long(), torch.tensor([length]))
        rows.append(model.capture(batch, [site])[Site.parse(site)][0].flatten(1))
    return torch.cat(rows)


def packed(sequences: int, seed: int = 0, longest: int = 12, shortest: int = 2) -> PackedText:
    """Sequences of random lengths and tokens; one document after another has one, two or three of them."""
    draw = generator(seed, "packed", sequences)
    lengths = torch.randint(shortest, longest + 1, (sequences,), generator=draw)
    return packed_lengths(lengths.tolist(), seed)


def packed_lengths(lengths: Sequence[int], seed: int = 0) -> PackedText:
    draw = generator(seed, "tokens", len(lengths))
    lengths = torch.tensor(lengths, dtype=torch.int32)
    ids = torch.randint(2, VOCABULARY, (len(lengths), int(lengths.max())), generator=draw, dtype=torch.int32)
    ids[:, 0] = BOS
    ids[torch.arange(ids.shape[1]) >= lengths[:, None]] = 0
    breaks = torch.randint(0, 2, (len(lengths),), generator=draw)
    document = (breaks.cumsum(0) - breaks[0]).int()
    names = [f"article {number}" for number in range(int(document.max()) + 1)]
    starts = [0]
    for sequence in range(1, len(lengths)):
        same = document[sequence] == document[sequence - 1]
        starts.append(starts[-1] + int(lengths[sequence - 1]) - 1 if same else 0)
    config = PackConfig(sequence_length=max(2, ids.shape[1]))
    start = torch.tensor(starts, dtype=torch.int32)
    ref = TextRef(id="random", hash=f"{seed}-{len(lengths)}", licence="CC0", sequence_length=ids.shape[1])
    return PackedText(ids, lengths, document, names, ref, start, config, tokenizer_hash="letters")
