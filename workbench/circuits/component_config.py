"""Settings of patching and discovery on a model's components; importing them loads no torch."""

from typing import Literal

from pydantic import Field, model_validator

from workbench.core import Config

MIB_FRACTIONS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


class ComponentConfig(Config):
    """What every component method needs to know."""

    ablation: Literal["resample", "mean", "zero"] = Field(
        default="resample", description="an ablated output is that of the corrupted prompt, the mean one, or zero"
    )
    batch: int = Field(default=8, ge=1, description="prompt pairs that run together")


class PatchConfig(ComponentConfig):
    """Exact patching: one run per node or edge."""

    level: Literal["node", "edge"] = Field(default="node", description="patch the outputs of nodes, or single edges")
    direction: Literal["noising", "denoising"] = Field(
        default="noising", description="ablate in a clean run, or restore the clean output in a corrupted run"
    )
    positions: bool = Field(default=False, description="nodes: patch one position at a time, too")
    bootstrap: int = Field(default=1000, ge=0, description="resamples of the prompts for intervals; 0: none")
    confidence: float = Field(default=0.95, gt=0, lt=1, description="of the intervals")
    seed: int = Field(default=0, ge=0, description="seed of the resamples")

    @model_validator(mode="after")
    def _fits(self) -> "PatchConfig":
        if self.direction == "denoising" and self.ablation != "resample":
            raise ValueError("denoising starts from the corrupted prompts: it goes with ablation resample")
        if self.positions and self.level == "edge":
            raise ValueError("patching by position is for nodes")
        return self


class PositionPatchConfig(Config):
    """Exact patching of whole sites, one layer and position at a time."""

    kinds: tuple[Literal["resid_pre", "attn_out", "mlp_out"], ...] = Field(
        default=("resid_pre",), min_length=1, description="what is patched: the stream before a layer, or what is added"
    )
    direction: Literal["noising", "denoising"] = Field(
        default="denoising", description="restore the clean output in a corrupted run, or spoil a clean run"
    )
    batch: int = Field(default=16, ge=1, description="positions that run together")


class PathPatchConfig(ComponentConfig):
    """Path patching: the effect of a sender on receivers along direct paths."""

    receivers: tuple[str, ...] = Field(
        default=("logits",), description="such as logits, m3 or a9.h9<q>; a head alone stands for its q, k and v"
    )
    through_mlps: bool = Field(default=True, description="paths may pass through MLPs; off: MLPs are held, too")


class AttributionConfig(ComponentConfig):
    """Linear estimates from gradients."""

    method: Literal["plain", "ig-inputs", "ig-activations"] = Field(
        default="ig-inputs",
        description="gradients of the clean run; averaged from corrupted to clean embeddings; or from ablated to clean"
        " outputs of each layer's heads and of each MLP",
    )
    steps: int = Field(default=5, ge=1, description="steps of the integrated gradients")


class AcdcConfig(ComponentConfig):
    """The exact edge-by-edge search."""

    threshold: float = Field(
        default=0.01, ge=0, description="an edge goes if that changes the metric by less than this share of its range"
    )
    max_edges: int = Field(default=20_000, ge=1, description="refuse models with more edges: every edge costs a run")


class FaithfulnessConfig(ComponentConfig):
    """Circuits of growing size kept, the rest ablated."""

    level: Literal["node", "edge"] = Field(default="edge", description="circuits of edges, or of nodes")
    fractions: tuple[float, ...] = Field(default=MIB_FRACTIONS, description="sizes, as shares of all edges or nodes")
    random_circuits: int = Field(default=10, ge=0, description="random circuits of every size")
    bootstrap: int = Field(default=1000, ge=0, description="resamples of the prompts for intervals; 0: none")
    confidence: float = Field(default=0.95, gt=0, lt=1, description="of the intervals")
    seed: int = Field(default=0, ge=0, description="seed of the random draws")

    @model_validator(mode="after")
    def _grows(self) -> "FaithfulnessConfig":
        if len(self.fractions) < 2 or list(self.fractions) != sorted(set(self.fractions)):
            raise ValueError("fractions are two or more, growing")
        if not (self.fractions[0] >= 0 and self.fractions[-1] <= 1):
            raise ValueError("fractions lie between 0 and 1")
        return self


class CircuitCheckConfig(ComponentConfig):
    """Completeness and minimality of one circuit."""

    fraction: float = Field(default=0.05, gt=0, le=1, description="size of the circuit, as a share of all edges")
    subsets: int = Field(default=20, ge=0, description="completeness: random sets of nodes removed from the circuit")
    share: float = Field(default=0.5, gt=0, lt=1, description="completeness: share of the circuit's nodes in a set")
    nodes: int = Field(default=40, ge=0, description="minimality: nodes tried at most, the smallest scores first")
    seed: int = Field(default=0, ge=0, description="seed of the random draws")
