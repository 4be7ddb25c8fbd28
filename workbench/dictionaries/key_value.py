"""The discrete key-value bottleneck: frozen keys choose which of many values speak (Träuble et al. 2023)."""

from collections.abc import Mapping
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from sparse_kernels import nearest_code
from workbench.core import Codes, Config, ConfigError, Site, generator, register

from .active import decode, mean_l0
from .base import Dictionary
from .initialise import Affine, Scale
from .key_value_config import KeyValueConfig
from .key_value_keys import flat_index, learn_keys
from .objective import Objective


@register("dictionary", "key-value")
class KeyValue(Dictionary):
    """y = b_dec + mean over heads h and k of V[h, nearest key of head h to P_h (x - shift) factor].

    Only values V (and b_dec) train. Keys are found by `initialise` from rows alone, without targets, and frozen with
    the projections; so a gradient reaches no value but those of the keys that a batch chose, and what was learnt
    elsewhere stays. `writes` may be anything with one vector a row: an activation, or scores of classes.

    Parameters: values [h * keys, d_out], b_dec [d_out]. Buffers: keys [h, keys, key_size], projection
    [h * key_size, d_in] (none for slices), shift [d_in], factor. Feature number: h * keys + key.
    """

    family = "key-value"
    config_class: ClassVar[type[Config]] = KeyValueConfig
    always_active = True
    unread = "values are no nodes: nearest-key assignment has no linear reader"

    def __init__(self, config: Config, reads: Mapping[Site, int], writes: Mapping[Site, int], name: str = "") -> None:
        super().__init__(config, reads, writes, name)
        if len(self.reads) != 1 or len(self.writes) != 1:
            raise ConfigError(f"key-value reads one site and writes one, found {len(reads)} and {len(writes)}")
        d_in, d_out = reads[self.reads[0]], writes[self.writes[0]]
        heads, size = self.config.heads, self._key_size(d_in)
        self.values = nn.Parameter(torch.zeros(self.width, d_out))
        self.b_dec = nn.Parameter(torch.zeros(d_out))
        self.keys: Tensor
        self.projection: Tensor | None
        self.shift: Tensor
        self.factor: Tensor
        self.register_buffer("keys", torch.zeros(heads, self.config.keys, size))
        projected = self.config.projection == "random"
        self.register_buffer("projection", torch.zeros(heads * size, d_in) if projected else None)
        self.register_buffer("shift", torch.zeros(d_in))
        self.register_buffer("factor", torch.ones(()))

    def _key_size(self, d_in: int) -> int:
        if self.config.projection == "random":
            return self.config.key_size
        if d_in % self.config.heads:
            raise ConfigError(f"{self.config.heads} slices of {d_in} numbers are not equal", hint="choose a divisor")
        return d_in // self.config.heads

    @classmethod
    def default_sites(cls, *layers: int) -> tuple[tuple[Site, ...], tuple[Site, ...]]:
        """It writes where it reads, as an autoencoder does."""
        sites = tuple(Site("resid_post", layer) for layer in layers)
        return sites, sites

    @property
    def width(self) -> int:
        return self.config.heads * self.config.keys

    def encode(self, inputs: Mapping[Site, Float[Tensor, "n d"]]) -> Codes:
        """The k nearest keys of every head, head by head and nearest first."""
        k, heads = self.config.k, self.config.heads
        index, _ = nearest_code(self.parts(self._input(inputs, self.reads[0])), self.keys, k, metric="euclidean")
        flat = flat_index(index, self.config.keys).flatten(1)
        share = 1.0 / (heads * k) if self.config.pool == "mean" else 1.0
        return Codes(flat, torch.full(flat.shape, share, dtype=self.dtype, device=self.device), self.width)

    def decode(self, codes: Codes) -> dict[Site, Float[Tensor, "n out"]]:
        return {self.writes[0]: decode(codes, self.values) + self.b_dec}

    def parts(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n h s"]:
        """What each head compares with its keys."""
        centred = (x - self.shift) * self.factor
        seen = centred if self.projection is None else centred @ self.projection.T
        return seen.unflatten(1, (self.config.heads, -1))

    def loss(self, inputs: Mapping[Site, Float[Tensor, "n d"]]) -> dict[str, Float[Tensor, ""]]:
        """`loss` = FVU: squared error over the targets' squared deviation from the batch mean."""
        codes, target = self.encode(inputs), self._input(inputs, self.writes[0])
        self.note_firing(codes)
        fvu = Objective.of(target, self.b_dec, self.values).unexplained(codes)
        return {"loss": fvu, "fvu": fvu.detach(), "l0": mean_l0(codes)}

    @torch.no_grad()
    def initialise(self, rows: Mapping[Site, Float[Tensor, "n d"]], seed: int, affine: Affine | None = None) -> None:
        """Draw the projections and learn the keys from the rows read; values start at zero, b_dec at the mean.

        Without rows at the written site (unlabelled rows) b_dec is zero, too.
        """
        x = self._input(rows, self.reads[0])
        if self.projection is not None:
            drawn = torch.randn(self.projection.shape, generator=generator(seed, "projection"), dtype=torch.float64)
            self.projection.copy_(drawn / x.shape[1] ** 0.5)
        self.shift.zero_()
        self.factor.fill_(1.0)
        self.keys.copy_(learn_keys(self.parts(x), self.config, seed))
        self.values.zero_()
        self.b_dec.zero_()
        if self.writes[0] in rows:
            self.b_dec.copy_(self._input(rows, self.writes[0]).mean(0))

    @torch.no_grad()
    def rescale_(self, scales: Mapping[Site, Scale]) -> None:
        source, target = scales[self.reads[0]], scales[self.writes[0]]
        self.shift.copy_(source.mean.double() + self.shift.double() / source.factor)
        self.factor.mul_(source.factor)
        target.absorb_in_writer_(self.values, self.b_dec)

    def writers(self, index: Int[Tensor, " m"]) -> dict[Site, Float[Tensor, "m d"]]:
        return {self.writes[0]: self.values[index]}
