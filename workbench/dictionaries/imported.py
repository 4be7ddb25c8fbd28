"""Coders that other libraries train and no kind here does: free thresholds, gates without a ReLU, normalised rows."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from pydantic import Field, model_validator
from torch import Tensor

from workbench.core import Codes, Config, ConfigError, Site, register

from .active import above, decode
from .base import Readers
from .coder import SkipTranscoder
from .config import CoderConfig
from .gates import Gate
from .initialise import Affine, Scale


class ImportedConfig(CoderConfig):
    """What a foreign coder does to each row; k counts the active features, or the groups of groupmax."""

    gate: Literal["topk", "threshold", "signed-topk", "abs-topk", "groupmax"] = Field(
        default="topk", description="which features of a row are active"
    )
    skip: bool = Field(default=False, description="an affine path beside the features")
    row_norm: Literal["none", "layer-norm", "constant-norm"] = Field(
        default="none", description="rows are brought to mean 0 and deviation 1, or to norm sqrt(d), before encoding"
    )
    row_eps: float = Field(default=0.0, ge=0, description="added to the scale of a row before dividing by it")
    restore: bool = Field(default=True, description="the output is brought back to the row's own scale and mean")

    @model_validator(mode="after")
    def _groups_fit(self) -> "ImportedConfig":
        if self.gate == "groupmax" and self.d_sae % self.k:
            raise ValueError(f"{self.d_sae} features do not divide into {self.k} groups")
        return self


@register("gate", "threshold")
class Threshold(Gate):
    """f = z H(z - theta) with z = W x + b: JumpReLU with thresholds that do not train and may be 0 or negative."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.register_buffer("threshold", torch.zeros(config.d_sae))
        self.threshold: Tensor

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor) -> Codes:
        return above(x, weight, bias, self.threshold)


@register("gate", "signed-topk")
class SignedTopK(Gate):
    """The k largest of W x + b, with their sign: no ReLU (circuit-tracer's TopK)."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.k: int = config.k

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor) -> Codes:
        found = torch.addmm(bias, x, weight.T)
        index = self.rank(found).topk(self.k, dim=1).indices
        return Codes(index, found.gather(1, index), found.shape[1])

    def rank(self, found: Float[Tensor, "n f"]) -> Float[Tensor, "n f"]:
        """What the k largest are the largest of."""
        return found


@register("gate", "abs-topk")
class AbsTopK(SignedTopK):
    """The k of W x + b that are largest in size, with their sign (SAELens' abstopk)."""

    def rank(self, found: Float[Tensor, "n f"]) -> Float[Tensor, "n f"]:
        return found.abs()


@register("gate", "groupmax")
class GroupMax(Gate):
    """The largest of ReLU(W x + b) in each of k equal groups of consecutive features (sparsify's GroupMax)."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.groups: int = config.k

    def forward(self, x: Tensor, weight: Tensor, bias: Tensor) -> Codes:
        found = torch.addmm(bias, x, weight.T).relu()
        value, index = found.unflatten(1, (self.groups, -1)).max(dim=2)
        first = torch.arange(self.groups, device=x.device) * (found.shape[1] // self.groups)
        return Codes(index + first, value, found.shape[1])


@register("dictionary", "imported-coder")
class ImportedCoder(SkipTranscoder):
    """y = s W_dec^T gate(W_enc (x - m) / (s + eps) + b_enc) + s b_dec + m + W_skip x, for m and s of each row.

    m = mean(x) and s = std(x) over d - 1 (layer-norm), m = 0 and s = |x| / sqrt(d) (constant-norm), or m = 0 and s = 1.
    Values are in the units of the raw rows: the row's scale is in the code, and s b_dec + m passes beside the
    features, so that decoding stays affine. Without `restore` the output keeps the units of the weights.
    """

    family = "imported-coder"
    config_class: ClassVar[type[Config]] = ImportedConfig

    def __init__(self, config: Config, reads: Mapping[Site, int], writes: Mapping[Site, int], name: str = "") -> None:
        if isinstance(config, ImportedConfig):
            self.gate_name, self.has_skip = config.gate, config.skip  # pyright: ignore[reportAttributeAccessIssue]
        super().__init__(config, reads, writes, name)

    @property
    def _restores(self) -> bool:
        return self.config.row_norm != "none" and self.config.restore

    def _row_scale(self, x: Float[Tensor, "n d"]) -> tuple[Float[Tensor, "n 1"], Float[Tensor, "n 1"]]:
        """The mean and the scale of every row."""
        if self.config.row_norm == "layer-norm":
            return x.mean(1, keepdim=True), x.std(1, keepdim=True)
        return x.new_zeros(len(x), 1), x.norm(dim=1, keepdim=True) / x.shape[1] ** 0.5

    def encode(self, inputs: Mapping[Site, Float[Tensor, "n d"]]) -> Codes:
        if self.config.row_norm == "none":
            return super().encode(inputs)
        x = self._input(inputs, self.reads[0])
        mean, scale = self._row_scale(x)
        codes = self.gate((x - mean) / (scale + self.config.row_eps).clamp_min(1e-30), self.W_enc, self.b_enc)
        if not self._restores:
            return codes
        by_row = scale[:, 0]
        return codes.map_values(lambda _, value: value * by_row[codes.row_ids()])

    def decode(self, codes: Codes) -> dict[Site, Float[Tensor, "n out"]]:
        return {self.writes[0]: decode(codes, self.W_dec)} if self._restores else super().decode(codes)

    def bypass(self, inputs: Mapping[Site, Float[Tensor, "n d"]]) -> dict[Site, Float[Tensor, "n out"]]:
        found = super().bypass(inputs)
        if not self._restores:
            return found
        mean, scale = self._row_scale(self._input(inputs, self.reads[0]))
        return {site: rows + scale * self.b_dec + mean for site, rows in found.items()}

    def initialise(self, rows: Mapping[Site, Float[Tensor, "n d"]], seed: int, affine: Affine | None = None) -> None:
        self._refuse_training()
        super().initialise(rows, seed, affine)

    def rescale_(self, scales: Mapping[Site, Scale]) -> None:
        self._refuse_training()
        super().rescale_(scales)

    def loss(self, inputs: Mapping[Site, Float[Tensor, "n _"]]) -> dict[str, Float[Tensor, ""]]:
        self._refuse_training()
        return super().loss(inputs)

    def _refuse_training(self) -> None:
        if self.config.row_norm != "none":
            raise ConfigError(
                f"{self.name or self.family} normalises each row and is not trained here",
                hint="train a kind of your own, e.g. topk-sae",
            )

    def readers(self, codes: Codes, inputs: Mapping[Site, Float[Tensor, "m d"]] | None = None) -> Readers | None:
        return super().readers(codes, inputs) if self.config.row_norm == "none" else None

    def pre_activations(self, inputs: Mapping[Site, Float[Tensor, "n d"]]) -> Float[Tensor, "n f"]:
        if self.config.row_norm == "none":
            return super().pre_activations(inputs)
        x = self._input(inputs, self.reads[0])
        mean, scale = self._row_scale(x)
        return torch.addmm(self.b_enc, (x - mean) / (scale + self.config.row_eps).clamp_min(1e-30), self.W_enc.T)
