"""Settings of a codebook; importing them loads no torch."""

from typing import Literal

from pydantic import Field, model_validator

from workbench.core import Config


class CodebookConfig(Config):
    """The k nearest of C codes, in each of G groups of coordinates."""

    codes: int = Field(default=1024, ge=1, description="codes of each group (C)")
    k: int = Field(default=8, ge=1, description="codes that stand for a row, in each group")
    groups: int = Field(
        default=1, ge=1, description="equal slices of the vector, each with codes of its own; at attn_z one a head"
    )
    similarity: Literal["dot", "cosine", "euclidean", "raw-dot"] = Field(
        default="dot",
        description="dot: x . c / |c|; cosine: the same over |x|; raw-dot: x . c, which favours long codes",
    )
    pool: Literal["mean", "sum"] = Field(
        default="mean", description="what the chosen codes are replaced by (the paper's text sums, its models average)"
    )
    layer_norm: bool = Field(default=True, description="an affine LayerNorm in front, one for each group")
    objective: Literal["autoencoding", "base", "vqvae", "autoencoding-commitment"] = Field(
        default="autoencoding",
        description="what is added to a language model's loss: the codes' squared error, nothing, or a commitment too",
    )
    weight: float = Field(default=1.0, ge=0, description="weight of the added loss (lambda)")
    commitment: float = Field(default=0.25, ge=0, description="weight of the commitment, relative to the codes' error")
    initial: Literal["k-means", "rows", "random"] = Field(
        default="k-means", description="codes start as centres of rows, as rows, or as normal noise"
    )
    k_start: float = Field(default=1.0, ge=1, description="multiple of k at first; it falls to k in the warm-up")
    k_power: float = Field(default=1.0, gt=0, description="power of the remaining warm-up with which k falls")
    replace_dead_after: int = Field(
        default=0, ge=0, description="rows without use after which a code becomes a row of data; 0: never"
    )
    replacement_noise: float = Field(
        default=1e-4, ge=0, description="noise on such a row, relative to its length, so that no two codes are one"
    )

    @model_validator(mode="after")
    def _k_fits(self) -> "CodebookConfig":
        if self.k * self.k_start > self.codes:
            raise ValueError(f"k {self.k} (at first {self.k * self.k_start:g}) is more than the {self.codes} codes")
        return self
