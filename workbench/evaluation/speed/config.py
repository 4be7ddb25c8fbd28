"""Settings of the benchmarks; importing them loads no torch."""

from typing import Any, Self

from pydantic import Field, model_validator

from workbench.core import Config


class BenchConfig(Config):
    """What every benchmark is told."""

    rounds: int = Field(default=9, ge=1, description="rounds in which every case has one turn")
    quick: bool = Field(default=False, description="small shapes and few rounds: a look in seconds, no measurement")
    threads: int | None = Field(default=None, ge=1, description="CPU threads; none: as many as PyTorch uses")
    device: str = Field(default="auto", description="auto, cpu or cuda")
    seed: int = Field(default=0, ge=0, description="seed of the operands")

    def reduced(self) -> Self:
        """These settings, made small where `quick` asks for it (what was set by hand stays)."""
        if not self.quick:
            return self
        small = {name: value for name, value in self.small().items() if name not in self.model_fields_set}
        return type(self).parse(self.model_dump(exclude_unset=True) | small)

    def small(self) -> dict[str, Any]:
        """Field -> value of a quick look."""
        return {"rounds": 3}


class ShapesConfig(BenchConfig):
    """Every number of rows with every number of features."""

    rows: tuple[int, ...] = Field(default=(1024, 4096), min_length=1, description="rows of activations")
    features: tuple[int, ...] = Field(default=(4608, 18432), min_length=1, description="features of the dictionary")
    width: int = Field(default=576, ge=1, description="width of the activations (d_model)")
    k: int = Field(default=32, ge=1, description="features kept in each row")

    @model_validator(mode="after")
    def _k_fits(self) -> Self:
        if min((*self.rows, *self.features)) < 1:
            raise ValueError("rows and features must be at least 1")
        if self.k > min(self.features):
            raise ValueError(f"k {self.k} is more than the {min(self.features)} features")
        return self

    def small(self) -> dict[str, Any]:
        return {"rounds": 3, "rows": (256,), "features": (1024,), "width": 64, "k": 8}

    def shapes(self) -> tuple[tuple[int, int], ...]:
        """Every (rows, features)."""
        return tuple((n, f) for f in self.features for n in self.rows)


class KernelBenchConfig(ShapesConfig):
    """Which operations are measured at these shapes."""

    memory_features: int = Field(default=65536, ge=0, description="features where only memory is of interest; 0: skip")
    codes: int = Field(default=10_000, ge=1, description="codes of the codebook")
    mlp_width: int = Field(default=2048, ge=1, description="width of the MLP of which some neurons are evaluated")
    neurons: int = Field(default=8192, ge=4, description="neurons of that MLP")
    operations: tuple[str, ...] = Field(default=(), description="operations to measure; none: all")
    compiled: bool = Field(default=False, description="also compile the Triton kernels and list what they use")

    def small(self) -> dict[str, Any]:
        return super().small() | {"memory_features": 0, "codes": 1000, "mlp_width": 256, "neurons": 1024}


class CaptureBenchConfig(BenchConfig):
    """Which activations of which model are captured."""

    model: str = Field(default="smollm2-135m-instruct-q4", description="a known model, hub id, folder or .gguf file")
    layer: int = Field(default=10, ge=0, description="the residual stream after this layer is captured")
    sequences: int = Field(default=16, ge=1, description="sequences in the batch")
    sequence_length: int = Field(default=128, ge=2, description="tokens of a sequence")
    offline: bool = Field(default=False, description="never touch the network")

    def small(self) -> dict[str, Any]:
        return {"rounds": 3, "model": "tiny-sentences", "layer": 1, "sequences": 4, "sequence_length": 16}


class TrainingBenchConfig(ShapesConfig):
    """Shapes of a whole training step of a dictionary."""

    rows: tuple[int, ...] = Field(default=(4096,), min_length=1, description="rows of a step")


class GraphBenchConfig(BenchConfig):
    """Which graphs of which model are traced: bounded ones at k, whole ones at few."""

    rounds: int = Field(default=3, ge=1, description="rounds in which every case has one turn")
    model: str = Field(default="smollm2-135m-instruct-q4", description="a known model, hub id, folder or .gguf file")
    tokens: int = Field(default=15, ge=2, description="tokens of the prompt, BOS included")
    features: int = Field(default=4096, ge=1, description="features of each layer's transcoder")
    k: int = Field(default=32, ge=1, description="active features per position where the graph is bounded")
    feature_nodes: int = Field(default=2048, ge=1, description="features expanded by influence where it is bounded")
    few: int = Field(default=8, ge=1, description="active features per position where the graph is whole")
    offline: bool = Field(default=False, description="never touch the network")

    @model_validator(mode="after")
    def _k_fits(self) -> Self:
        if max(self.k, self.few) > self.features:
            raise ValueError(f"k {max(self.k, self.few)} is more than the {self.features} features")
        return self

    def small(self) -> dict[str, Any]:
        return {"model": "tiny-sentences", "features": 128, "k": 8, "feature_nodes": 60, "few": 2}
