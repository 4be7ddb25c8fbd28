"""Settings of the dictionaries, one class for each gate; importing them loads no torch."""

from typing import Literal

from pydantic import Field, model_validator

from workbench.core import Config

from .codebook_config import CodebookConfig
from .key_value_config import KeyValueConfig


class AffineConfig(Config):
    """How an affine map is fitted before training."""

    ridge: float = Field(default=1e-2, ge=0, description="ridge penalty, in units of the inputs' mean variance")


class SparseConfig(AffineConfig):
    """Size and starting point of a dictionary with features."""

    d_sae: int = Field(default=2048, ge=1, description="number of features")
    start: Literal["data", "random"] = Field(
        default="data", description="encoder rows start as rows of data, or as random directions"
    )
    decoder_share: float = Field(
        default=0.3, ge=0, description="share of its row's residual that a feature started from data writes"
    )
    unit_norm_decoder: bool = Field(
        default=False, description="hold every decoder row at length 1, in the units of training"
    )
    start_seed: int = Field(default=0, ge=0, description="added to the run's seed when the starting features are drawn")


class RevivingConfig(SparseConfig):
    """Dead features learn from what the living ones miss."""

    aux_k: int = Field(
        default=0, ge=0, description="AuxK: dead features that learn in each row what is missed (paper: d / 2); 0: off"
    )
    aux_weight: float = Field(default=1 / 32, ge=0, description="AuxK: weight of its error, relative to the main one")
    dead_after_rows: int = Field(
        default=20_000, ge=1, description="AuxK: rows without activity after which a feature is dead (paper: 10^7)"
    )


class CoderConfig(RevivingConfig):
    """TopK: a fixed number of active features in every row."""

    k: int = Field(default=32, ge=1, description="features that may be active in one row (L0)")
    k_start: float = Field(
        default=1.0, ge=1, description="multiple of k that is active at first; it falls to k in the sparsity warm-up"
    )

    @model_validator(mode="after")
    def _k_fits(self) -> "CoderConfig":
        if self.k > self.d_sae:
            raise ValueError(f"k {self.k} is more than the {self.d_sae} features")
        return self


class BatchTopKConfig(CoderConfig):
    """BatchTopK: k is the mean number of active features in a row."""

    threshold_rate: float = Field(
        default=0.01, gt=0, le=1, description="rate at which the threshold of inference follows the batches"
    )


class MatryoshkaConfig(BatchTopKConfig):
    """Matryoshka: nested dictionaries, each a prefix of the next."""

    prefixes: tuple[float, ...] = Field(
        default=(1 / 32, 3 / 32, 7 / 32, 15 / 32), description="shares of the features that reconstruct alone, too"
    )

    @model_validator(mode="after")
    def _prefixes_grow(self) -> "MatryoshkaConfig":
        if any(not 0 < share < 1 for share in self.prefixes) or list(self.prefixes) != sorted(set(self.prefixes)):
            raise ValueError(f"prefixes are growing shares between 0 and 1, not {self.prefixes}")
        return self


class ReLUConfig(RevivingConfig):
    """ReLU with an L1 penalty; L0 is what the penalty makes of it."""

    l1: float = Field(
        default=0.2, ge=0, description="weight of the sum of activation times decoder norm, relative to the rows' norm"
    )


class GatedConfig(ReLUConfig):
    """Gated: the L1 penalty lies on the gate, magnitudes are free."""

    l1: float = Field(
        default=0.4, ge=0, description="weight of the sum of gate activation times decoder norm, relative to the rows'"
    )


class JumpReLUConfig(RevivingConfig):
    """JumpReLU: a learned threshold for every feature."""

    k: int | None = Field(
        default=32, ge=1, description="L0 aimed at: the penalty is l0 * (L0 / k - 1)^2; none: it is l0 * L0"
    )
    k_start: float = Field(
        default=1.0, ge=1, description="multiple of k aimed at at first; it falls to k in the sparsity warm-up"
    )
    l0: float = Field(default=1.0, ge=0, description="weight of the penalty, relative to the fraction unexplained")
    bandwidth: float = Field(
        default=2.0, gt=0, description="width of the rectangle through which thresholds see the pre-activations"
    )
    threshold: float = Field(default=0.5, gt=0, description="starting threshold where there is no k to set it by")


class CrossLayerConfig(SparseConfig):
    """A cross-layer transcoder; sizes are for each layer."""

    gate: Literal["topk", "batchtopk", "jumprelu", "threshold"] = Field(
        default="topk", description="gate of every layer; threshold: thresholds of an imported one, which do not train"
    )
    k: int = Field(default=16, ge=1, description="features active in one row of a layer (a mean, or an aim)")
    k_start: float = Field(default=1.0, ge=1, description="multiple of k at first; it falls to k in the warm-up")
    l0: float = Field(default=1.0, ge=0, description="jumprelu: weight of l0 * (L0 / k - 1)^2")
    bandwidth: float = Field(default=2.0, gt=0, description="jumprelu: width of the rectangle kernel")
    threshold: float = Field(default=0.5, gt=0, description="jumprelu: starting threshold without rows")
    threshold_rate: float = Field(default=0.01, gt=0, le=1, description="batchtopk: rate of the threshold")

    @model_validator(mode="after")
    def _k_fits(self) -> "CrossLayerConfig":
        if self.k > self.d_sae:
            raise ValueError(f"k {self.k} is more than the {self.d_sae} features of a layer")
        return self

    @model_validator(mode="after")
    def _norms_are_free(self) -> "CrossLayerConfig":
        if self.unit_norm_decoder:
            raise ValueError("a cross-layer transcoder writes to several layers, whose shares unit norms would fix")
        return self


GATES: dict[str, type[SparseConfig]] = {
    "relu": ReLUConfig,
    "topk": CoderConfig,
    "batchtopk": BatchTopKConfig,
    "jumprelu": JumpReLUConfig,
    "gated": GatedConfig,
    "matryoshka": MatryoshkaConfig,
}
"""Gate -> its settings."""
SHAPES = ("sae", "transcoder", "skip-transcoder")
"""What a gate can be built into: families are called `<gate>-<shape>`."""
FAMILIES: dict[str, type[Config]] = {
    **{f"{gate}-{shape}": config for gate, config in GATES.items() for shape in SHAPES},
    "affine": AffineConfig,
    "codebook": CodebookConfig,
    "cross-layer-transcoder": CrossLayerConfig,
    "key-value": KeyValueConfig,
}
"""Family -> its settings, for those who must know them without loading torch."""
