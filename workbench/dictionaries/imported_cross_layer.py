"""Cross-layer transcoders that other libraries train with an affine path beside the features of each layer."""

from collections.abc import Mapping
from typing import ClassVar

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from workbench.core import Codes, Config, ConfigError, Site, register

from .config import CrossLayerConfig
from .cross_layer import CrossLayerTranscoder
from .initialise import Affine, Scale


class ImportedCrossLayerConfig(CrossLayerConfig):
    """A cross-layer transcoder as it was imported."""

    skip: bool = Field(default=False, description="an affine path from what each layer reads to what it writes")


@register("dictionary", "imported-cross-layer-transcoder")
class ImportedCrossLayer(CrossLayerTranscoder):
    """y_t = sum over s <= t of W_dec[t, s]^T a_s + W_skip[t] x_t + b_dec[t]; with `skip` it does not train here."""

    family = "imported-cross-layer-transcoder"
    config_class: ClassVar[type[Config]] = ImportedCrossLayerConfig

    def __init__(self, config: Config, reads: Mapping[Site, int], writes: Mapping[Site, int], name: str = "") -> None:
        super().__init__(config, reads, writes, name)
        self.W_skip: nn.ParameterList | None = None
        if self.config.skip:
            pairs = zip(writes.values(), reads.values(), strict=True)
            self.W_skip = nn.ParameterList(nn.Parameter(torch.zeros(out, size)) for out, size in pairs)

    def bypass(self, inputs: Mapping[Site, Float[Tensor, "n d"]]) -> dict[Site, Float[Tensor, "n out"]]:
        if self.W_skip is None:
            return super().bypass(inputs)
        return {site: self._skipped(inputs, number) for number, site in enumerate(self.writes)}

    def reconstruct_at(
        self, codes: Codes, inputs: Mapping[Site, Float[Tensor, "n d"]], site: Site
    ) -> Float[Tensor, "n out"]:
        found = super().reconstruct_at(codes, inputs, site)
        return found if self.W_skip is None else found + self._skipped(inputs, self.writes.index(site))

    def _skipped(self, inputs: Mapping[Site, Tensor], number: int) -> Tensor:
        assert self.W_skip is not None
        return self._input(inputs, self.reads[number]) @ self.W_skip[number].T

    def loss(self, inputs: Mapping[Site, Float[Tensor, "n _"]]) -> dict[str, Float[Tensor, ""]]:
        self._refuse_training()
        return super().loss(inputs)

    def initialise(self, rows: Mapping[Site, Float[Tensor, "n _"]], seed: int, affine: Affine | None = None) -> None:
        self._refuse_training()
        super().initialise(rows, seed, affine)

    def rescale_(self, scales: Mapping[Site, Scale]) -> None:
        self._refuse_training()
        super().rescale_(scales)

    def _refuse_training(self) -> None:
        if self.W_skip is not None:
            raise ConfigError(
                f"{self.name or self.family} has an affine path and is not trained here",
                hint="train a cross-layer-transcoder",
            )
