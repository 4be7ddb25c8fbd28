"""Codebook: every vector is replaced by the few codes that are nearest to it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from sparse_kernels import reconstruction_error, squared_deviation, straight_through
from workbench.core import Codes, Config, ConfigError, Site, register

from .active import mean_l0
from .base import Dictionary
from .codebook_config import CodebookConfig
from .codebook_groups import decode_groups, nearest_in_groups, similarities
from .codebook_start import Replacement, draw_replacement, starting_codes
from .initialise import Affine, Scale

EPS = 1e-5
"""Added to the variance by the LayerNorm, as in the released models."""


@dataclass(frozen=True)
class ChosenCodes(Codes):
    """Codes that remember what they stand for, so that nothing is computed twice while gradients are wanted."""

    rows: Float[Tensor, "n d"] | None = None


@register("dictionary", "codebook")
class Codebook(Dictionary):
    """y = mean (or sum) of the k codes nearest to LN(x), in each group of coordinates (Tamkin et al. 2023).

    Features of group g are numbered g * C to (g + 1) * C - 1, and a row's codes stand group by group, nearest first;
    their value is 1 / k (mean) or 1 (sum). There is no bypass and, in a language model, no way back from the scale of
    the LayerNorm: the model learns to live with it. `initialise` and `loss` know no model: there the codes learn
    the rows themselves, and the LayerNorm only ranks.

    Which code is nearest depends on all of them, and the value of a chosen one does not depend on x: no unit is a
    linear function of the row, so `readers` is None, even where the scale of the LayerNorm is held.

    Parameters: book [G * C, d / G]; norm_weight, norm_bias [d]. Buffers of the units of training (see `rescale_`):
    centre [d], unit, shift [d]; and off [G * C], codes that are never chosen.
    """

    family = "codebook"
    unit_kind: ClassVar[str] = "code"
    config_class: ClassVar[type[Config]] = CodebookConfig
    always_active = True
    unread = "codes are no nodes: nearest-code assignment has no linear reader"

    def __init__(self, config: Config, reads: Mapping[Site, int], writes: Mapping[Site, int], name: str = "") -> None:
        super().__init__(config, reads, writes, name)
        if len(self.reads) != 1 or self.reads != self.writes:
            found = f"{', '.join(map(str, reads))} and {', '.join(map(str, writes)) or 'nothing'}"
            raise ConfigError("a codebook reads and writes one site", found=f"found {found}")
        self.site = self.reads[0]
        d = self.sizes[self.site]
        if d % self.config.groups:
            raise ConfigError(
                f"{self.config.groups} groups do not divide the {d} coordinates of {self.site}",
                hint="at attn_z use as many groups as heads",
            )
        self.book = nn.Parameter(torch.zeros(self.width, d // self.config.groups))
        self.norm_weight = nn.Parameter(torch.ones(d)) if self.config.layer_norm else None
        self.norm_bias = nn.Parameter(torch.zeros(d)) if self.config.layer_norm else None
        self.register_buffer("centre", torch.zeros(d))
        self.register_buffer("unit", torch.ones(()))
        self.register_buffer("shift", torch.zeros(d))
        self.register_buffer("off", torch.zeros(self.width, dtype=torch.bool))
        self.register_buffer("replaced", torch.zeros((), dtype=torch.long), persistent=False)
        self.centre: Tensor
        self.unit: Tensor
        self.shift: Tensor
        self.off: Bool[Tensor, " f"]
        self.replaced: Int[Tensor, ""]
        self._replacement: Replacement | None = None

    @classmethod
    def default_sites(cls, *layers: int) -> tuple[tuple[Site, ...], tuple[Site, ...]]:
        sites = tuple(Site("mlp_out", layer) for layer in layers)
        return sites, sites

    @property
    def width(self) -> int:
        return self.config.groups * self.config.codes

    @property
    def starting_rows(self) -> int:
        return ROWS_PER_CODE * self.config.codes

    @property
    def k(self) -> int:
        """Codes chosen in a group: the settings' k, or what the annealing has come to while gradients are wanted."""
        if not torch.is_grad_enabled():
            return self.config.k
        more = (self.config.k_start - 1) * (1 - self.sparsity) ** self.config.k_power
        return round(self.config.k * (1 + more))

    def normalised(self, rows: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """What the codes are compared with: LN(x), group by group (x without a LayerNorm)."""
        if not self._own_units:
            rows = (rows - self.centre) * self.unit
        if self.norm_weight is None or self.norm_bias is None:
            return rows
        parts = torch.nn.functional.layer_norm(rows.unflatten(1, self._parts), self._parts[1:], eps=EPS)
        return torch.addcmul(self.norm_bias, parts.flatten(1), self.norm_weight)

    def encode(self, inputs: Mapping[Site, Float[Tensor, "n d"]]) -> Codes:
        """Padded codes [n, G * k], each group's nearest code first."""
        rows = self.normalised(self._input(inputs, self.site))
        index = self._nearest(rows.detach())
        value = rows.new_full(index.shape, 1 / self.k if self.config.pool == "mean" else 1.0)
        return ChosenCodes(index, value, self.width, rows=rows if torch.is_grad_enabled() else None)

    def decode(self, codes: Codes) -> dict[Site, Float[Tensor, "n d"]]:
        decoded = decode_groups(codes, self.book, self.config.groups)
        return {self.site: decoded if self._own_units else decoded + self.shift}

    def reconstruct_at(
        self, codes: Codes, inputs: Mapping[Site, Float[Tensor, "n d"]], site: Site
    ) -> Float[Tensor, "n d"]:
        """The decoded codes; backward, LN(x) receives their gradient unchanged, and so do the chosen codes.

        With `vqvae` the codes receive none: they learn from their own error only.
        """
        if not torch.is_grad_enabled():
            return self.decode(codes)[site]
        with torch.set_grad_enabled(self.config.objective != "vqvae"):
            decoded = self.decode(codes)[site]
        rows = self._rows_of(codes, inputs)
        return straight_through(rows if self._own_units else rows / self.unit, decoded)

    def auxiliary_losses(self, inputs: Mapping[Site, Float[Tensor, "n d"]], codes: Codes) -> dict[str, Tensor]:
        """`loss`, to be added to a language model's, and `mse`: |y - LN(x)|^2, the mean of the rows; nothing without
        gradients.

        The loss is a scalar of the graph: scaling it, or adding up over batches, keeps its ratio to the model's.
        """
        if not torch.is_grad_enabled() or not len(codes):
            return {}
        rows = self._rows_of(codes, inputs)
        error, residual = self._error(codes, rows.detach())
        mse = error.sum() / len(codes)
        self._note_use(codes, rows)
        loss = mse if self.config.objective != "base" else torch.zeros_like(mse)
        if self.config.objective in ("vqvae", "autoencoding-commitment"):
            decoded = rows.detach() + residual.reshape(rows.shape)
            loss = loss + self.config.commitment * (rows - decoded).square().sum() / len(codes)
        return {"loss": self.config.weight * loss, "mse": mse.detach()}

    def loss(self, inputs: Mapping[Site, Float[Tensor, "n d"]]) -> dict[str, Float[Tensor, ""]]:
        """`loss` = FVU of the rows; without a model nothing reaches the LayerNorm.

        Raises:
            ConfigError: the objective `base`, which learns from a language model's loss alone.
        """
        if self.config.objective == "base":
            raise ConfigError("codes of objective 'base' learn in a language model only", hint="use autoencoding")
        codes = self.encode(inputs)
        target = self._input(inputs, self.site).detach()
        error, _ = self._error(codes, target if self._own_units else target - self.shift)
        fvu = error.sum() / squared_deviation(target).clamp_min(1e-30)
        self._note_use(codes, target)
        return {"loss": fvu, "fvu": fvu.detach(), "l0": mean_l0(codes)}

    @torch.no_grad()
    def after_step(self) -> None:
        """Put rows of data in the place of codes that nobody chose for long."""
        if self._replacement is not None:
            self.book[self._replacement.index] = self._replacement.codes.to(self.book)
            self.rows_since_fired[self._replacement.index] = 0
            self.replaced += len(self._replacement.index)
            self._replacement = None

    def parameter_groups(self) -> list[dict[str, Any]]:
        norm = [weight for weight in (self.norm_weight, self.norm_bias) if weight is not None]
        groups = [{"params": [self.book], "role": "codes"}, {"params": norm, "role": "norm"}]
        return [group for group in groups if group["params"]]

    @torch.no_grad()
    def initialise(self, rows: Mapping[Site, Float[Tensor, "n d"]], seed: int, affine: Affine | None = None) -> None:
        self.book.copy_(starting_codes(self._input(rows, self.site), self.config, seed))

    def initialise_in_model(self, rows: Float[Tensor, "n d"], seed: int) -> None:
        """The same from rows as a language model brings them: codes start where LN(x) is."""
        with torch.no_grad():
            self.initialise({self.site: self.normalised(rows.to(self.dtype))}, seed)

    @torch.no_grad()
    def randomise_(self, seed: int) -> None:
        """Normal noise of variance 1, which needs no rows (the released models started so)."""
        self.book.copy_(starting_codes(self.book.new_zeros(0, len(self.centre)), self.config, seed, "random"))

    @torch.no_grad()
    def rescale_(self, scales: Mapping[Site, Scale]) -> None:
        scale = scales[self.site]
        self.centre.copy_(self.centre.double() / scale.factor + scale.mean.double())
        self.unit.mul_(scale.factor)
        self.book.copy_(self.book.double() / scale.factor)
        self.shift.copy_(self.shift.double() / scale.factor + scale.mean.double())

    def pre_activations(self, inputs: Mapping[Site, Float[Tensor, "n d"]]) -> Float[Tensor, "n f"]:
        """How near every code is, by the settings' similarity (minus the distance for Euclid)."""
        rows = self.normalised(self._input(inputs, self.site))
        return similarities(rows, self._keys(), self.config.groups, self.config.similarity)

    def writers(self, index: Int[Tensor, " m"]) -> dict[Site, Float[Tensor, "m d"]]:
        groups, size = self._parts
        written = self.book.new_zeros(len(index), groups, size)
        written[torch.arange(len(index), device=index.device), index // self.config.codes] = self.book[index]
        return {self.site: written.flatten(1)}

    @torch.no_grad()
    def switch_off_(self, index: Int[Tensor, " m"]) -> None:
        """Never choose these codes again: the next nearest take their places, and the mean is still over k.

        To take a code out without a substitute, splice with `CodeTweak(index)` instead.

        Raises:
            ConfigError: fewer than k codes would be left in a group.
        """
        off = self.off.clone()
        off[index] = True
        left = int((~off).view(self.config.groups, -1).sum(1).min())
        if left < self.config.k:
            raise ConfigError(f"a group of {self.name or 'the codebook'} would be left with {left} codes, fewer than k")
        self.off.copy_(off)

    @torch.no_grad()
    def switch_on_(self) -> None:
        """Let every code be chosen again."""
        self.off.zero_()

    @property
    def _parts(self) -> tuple[int, int]:
        """Groups, and coordinates of a group."""
        return self.config.groups, self.book.shape[1]

    @property
    def _own_units(self) -> bool:
        """Whether rows need no change of units: always, but for codes that were trained on normalised rows."""
        return bool((self.unit == 1) & ~self.centre.any() & ~self.shift.any())

    def _keys(self) -> Float[Tensor, "f p"]:
        """The codes in the units in which rows are compared with them."""
        book = self.book.detach()
        return book if self.config.similarity in ("dot", "cosine") or self._own_units else book * self.unit

    def _nearest(self, rows: Float[Tensor, "n d"]) -> Int[Tensor, "n gk"]:
        return nearest_in_groups(rows, self._keys(), self.config.groups, self.k, self.config.similarity, self.off)

    def _rows_of(self, codes: Codes, inputs: Mapping[Site, Float[Tensor, "n d"]]) -> Float[Tensor, "n d"]:
        rows = codes.rows if isinstance(codes, ChosenCodes) else None
        return self.normalised(self._input(inputs, self.site)) if rows is None else rows

    def _error(self, codes: Codes, target: Float[Tensor, "n d"]) -> tuple[Tensor, Tensor]:
        """Squared error and residual of every group of every row."""
        groups, size = self._parts
        shape = len(codes) * groups, codes.k // groups
        index, value = codes.index.reshape(shape), codes.value.reshape(shape)
        return reconstruction_error(index, value, self.book, self.book.new_zeros(size), target.reshape(-1, size))

    def _note_use(self, codes: Codes, target: Float[Tensor, "n d"]) -> None:
        self.note_firing(codes)
        limit = self.config.replace_dead_after
        if limit and torch.is_grad_enabled():
            dead = (self.rows_since_fired >= limit) & ~self.off
            self._replacement = draw_replacement(dead, target.detach(), self.config, int(self.replaced))


ROWS_PER_CODE = 8
"""Rows from which a code starts."""
