"""Small codecs for tests: dense linear maps with a top-k gate, over any reads and writes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from workbench.core import Codes, Site


@dataclass
class LinearCodec:
    """Features of one read site have their own rows; layer l's features write to the sites of layers >= l."""

    reads: tuple[Site, ...]
    writes: tuple[Site, ...]
    encoders: dict[Site, Tensor]
    decoders: dict[Site, Tensor]
    bias: dict[Site, Tensor]
    k: int = 3
    name: str = "linear"
    auxiliary_losses: Callable[[Mapping[Site, Tensor], Codes], dict[str, Tensor]] | None = None
    calls: list[tuple[Site, ...]] = field(default_factory=list)

    @property
    def width(self) -> int:
        return sum(len(encoder) for encoder in self.encoders.values())

    def encode(self, inputs: Mapping[Site, Tensor]) -> Codes:
        self.calls.append(tuple(inputs))
        index, value = [], []
        for site, x in inputs.items():
            start = sum(len(self.encoders[read]) for read in self.reads[: self.reads.index(site)])
            top = (x.to(self.encoders[site].dtype) @ self.encoders[site].T).relu().topk(self.k)
            index.append(top.indices + start)
            value.append(top.values)
        return Codes(torch.cat(index, 1), torch.cat(value, 1), self.width)

    def decode(self, codes: Codes) -> dict[Site, Tensor]:
        return {site: codes.dense() @ self.decoders[site] + self.bias[site] for site in self.writes}

    def bypass(self, inputs: Mapping[Site, Tensor]) -> dict[Site, Tensor]:
        x = next(iter(inputs.values()))
        return {
            site: 0.1 * x.to(self.bias[site].dtype).mean(-1, keepdim=True).expand(-1, len(self.bias[site]))
            for site in self.writes
        }


def linear_codec(reads, writes, size_in: int, size_out: int, per_read: int = 12, dtype=torch.float64, seed: int = 0):
    """A random codec; with many reads and writes it is cross-layer."""
    reads, writes = tuple(map(Site.parse, reads)), tuple(map(Site.parse, writes))
    source = torch.Generator().manual_seed(seed)
    encoders = {site: torch.randn(per_read, size_in, generator=source, dtype=dtype) for site in reads}
    decoders = {}
    for site in writes:
        rows = [torch.randn(per_read, size_out, generator=source, dtype=dtype) for _ in reads]
        causal = [row * ((read.layer or 0) <= (site.layer or 0)) for row, read in zip(rows, reads, strict=True)]
        decoders[site] = 0.3 * torch.cat(causal)
    bias = {site: torch.randn(size_out, generator=source, dtype=dtype) for site in writes}
    return LinearCodec(reads, writes, encoders, decoders, bias)
