"""Dictionary: a sparse bottleneck that reads activations at Sites and writes its reconstruction to Sites."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, TypeVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from sparse_kernels import note_firing_
from workbench.core import (
    Artifact,
    ArtifactError,
    Codes,
    Config,
    ConfigError,
    Manifest,
    ShapeError,
    Site,
    get,
    read_artifact,
    write_artifact,
)

from .active import Active, features_active
from .initialise import Affine, Scale

KIND = "dictionary"
D = TypeVar("D", bound="Dictionary")


class Readers(NamedTuple):
    """How units are read linearly: pre-activation = row . x + bias, on the raw activations at the read site.

    While its gate is held, a unit's value moves by `slope` per unit of its pre-activation.
    """

    rows: Float[Tensor, "m d"]
    bias: Float[Tensor, " m"]
    slope: float = 1.0


class Dictionary(nn.Module):
    """Base of every kind; reconstruction = decode(encode(x)) + bypass(x), and decode is affine in the values.

    A kind sets `family` and `config_class`, implements `encode`, `decode`, `loss`, `initialise` and
    `rescale_`, and is registered as a "dictionary". Encoder and decoder are stored [f, d]: a row is a feature.

    Args:
        config: the kind's settings.
        reads, writes: the Sites with the size of their vectors, in the order in which they are met.
        name: how Edits and Units call it, usually `set/site`.
    """

    family: ClassVar[str]
    config_class: ClassVar[type[Config]]
    spans_layers: ClassVar[bool] = False
    """Whether one dictionary serves several layers; else there is one for each."""
    unit_kind: ClassVar[str] = "feature"
    """What a unit is called as a node of a graph: feature, neuron or code."""
    always_active: ClassVar[bool] = False
    """Whether every row fills all its places: some code is nearest to any row, so that L0 is never below k."""
    unread: ClassVar[str] = ""
    """Why no unit of this kind is ever read linearly, wherever it stands; empty: `readers` decides."""
    sparsity: float
    """Share of the sparsity penalty in force; the training loop raises it from 0 to 1."""

    def __init__(self, config: Config, reads: Mapping[Site, int], writes: Mapping[Site, int], name: str = "") -> None:
        super().__init__()
        if not isinstance(config, self.config_class):
            raise ConfigError(
                f"{self.family} wants settings of type {self.config_class.__name__}",
                found=f"found {type(config).__name__}",
            )
        if not reads:
            raise ConfigError(f"{self.family} needs a site to read")
        self.config: Any = config
        self.name = name
        self.reads, self.writes = tuple(reads), tuple(writes)
        self.sizes = {**reads, **writes}
        self.sparsity = 1.0
        self.register_buffer("rows_since_fired", torch.zeros(self.width, dtype=torch.long), persistent=False)
        self.rows_since_fired: Tensor

    @classmethod
    def default_sites(cls, *layers: int) -> tuple[tuple[Site, ...], tuple[Site, ...]]:
        """The Sites that this kind reads and writes at some layers when nobody names others."""
        raise NotImplementedError

    @property
    def width(self) -> int:
        """Number of features."""
        raise NotImplementedError

    @property
    def starting_rows(self) -> int:
        """How many rows `initialise` wants to see."""
        return self.width

    def encode(self, inputs: Mapping[Site, Float[Tensor, "n d"]]) -> Codes:
        """The sparse code of every row; inputs of any float dtype are cast to the weights'."""
        raise NotImplementedError

    def decode(self, codes: Codes) -> dict[Site, Float[Tensor, "n out"]]:
        """What the codes write, biases included."""
        raise NotImplementedError

    def bypass(self, inputs: Mapping[Site, Float[Tensor, "n d"]]) -> dict[Site, Float[Tensor, "n out"]]:
        """What passes beside the features; zeros unless the kind has a skip connection."""
        rows = self._input(inputs, self.reads[0])
        return {site: rows.new_zeros(rows.shape[0], self.sizes[site]) for site in self.writes}

    def reconstruct_at(
        self, codes: Codes, inputs: Mapping[Site, Float[Tensor, "n d"]], site: Site
    ) -> Float[Tensor, "n out"]:
        """The reconstruction at one Site, from the codes and inputs met so far in a forward pass."""
        return self.decode(codes)[site] + self.bypass(inputs)[site]

    def forward(self, inputs: Mapping[Site, Float[Tensor, "n d"]]) -> dict[Site, Float[Tensor, "n out"]]:
        """The reconstruction: decode + bypass."""
        decoded, passed = self.decode(self.encode(inputs)), self.bypass(inputs)
        return {site: decoded[site] + passed[site] for site in decoded}

    def loss(self, inputs: Mapping[Site, Float[Tensor, "n d"]]) -> dict[str, Float[Tensor, ""]]:
        """Scalars of one batch: `loss` is optimised; `fvu`, `l0` and others are for the record."""
        raise NotImplementedError

    def before_step(self, sparsity: float) -> None:
        """Called before each step with the share of the sparsity penalty in force."""
        self.sparsity = sparsity

    def after_backward(self) -> None:
        """Called between the backward pass and the optimiser's step: constraints on the gradients."""

    def after_step(self) -> None:
        """Called after each optimiser step: constraints on the weights."""

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Groups for the optimiser: `params`, and the `role` by which settings may give them another rate."""
        return [{"params": list(self.parameters()), "role": "features"}]

    def initialise(self, rows: Mapping[Site, Float[Tensor, "n d"]], seed: int, affine: Affine | None = None) -> None:
        """Set the starting weights from rows in the units of training; `affine`: a map fitted on more of them."""
        raise NotImplementedError

    def rescale_(self, scales: Mapping[Site, Scale]) -> None:
        """Absorb the normalisation that training used, so that the weights act on raw activations."""
        raise NotImplementedError

    def pre_activations(self, inputs: Mapping[Site, Float[Tensor, "n d"]]) -> Float[Tensor, "n f"]:
        """What the gate sees, dense."""
        raise NotImplementedError

    def readers(self, codes: Codes, inputs: Mapping[Site, Float[Tensor, "m d"]] | None = None) -> Readers | None:
        """How each entry of `codes` (row by row) is read linearly; None where a unit is no linear function.

        `inputs` holds for each entry the rows that were read, for kinds whose gate or scale is held at its value there.
        """
        return None

    def reads_of(self, index: Int[Tensor, " m"]) -> Int[Tensor, " m"]:
        """The number in `reads` of the Site that each unit reads."""
        return torch.zeros_like(index)

    def writers(self, index: Int[Tensor, " m"]) -> dict[Site, Float[Tensor, "m d"]]:
        """What each unit writes per unit of its value, in the raw units of the write sites."""
        raise NotImplementedError

    @property
    def dtype(self) -> torch.dtype:
        return next(self.parameters()).dtype

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def note_firing(self, active: Active) -> None:
        """Count the rows since each feature was last active."""
        if isinstance(active, Codes):
            note_firing_(self.rows_since_fired, active.index, active.value, len(active))
        else:
            self._note_features(len(active), features_active(active))

    @torch.no_grad()
    def _note_features(self, rows: int, active: Bool[Tensor, " f"]) -> None:
        self.rows_since_fired.add_(rows)
        self.rows_since_fired.masked_fill_(active, 0)

    def _input(self, inputs: Mapping[Site, Tensor], site: Site) -> Float[Tensor, "n d"]:
        try:
            rows = inputs[site]
        except KeyError:
            found = ", ".join(map(str, inputs)) or "nothing"
            raise ShapeError(f"{self.name or self.family} wants rows at {site}", found=f"found {found}") from None
        if rows.ndim != 2 or rows.shape[1] != self.sizes[site]:
            raise ShapeError(
                f"{self.name or self.family} wants rows [n, {self.sizes[site]}] at {site}",
                found=f"found {tuple(rows.shape)}",
                hint="was the dictionary trained on another model or site?",
            )
        return rows.to(self.dtype)

    def save(self, folder: Path, manifest: Manifest | None = None) -> Artifact:
        """Write as an artifact of kind `dictionary`; `manifest` brings model, text, mask and parents.

        Raises:
            ArtifactError: see `write_artifact`.
        """
        details = {
            "family": self.family,
            "config": self.config.model_dump(mode="json"),
            "reads": [[str(site), self.sizes[site]] for site in self.reads],
            "writes": [[str(site), self.sizes[site]] for site in self.writes],
        }
        base = manifest or Manifest(kind=KIND)
        changed = {"kind": KIND, "name": self.name, "details": {**base.details, **details}}
        return write_artifact(Path(folder), base.model_copy(update=changed), self.state_dict())

    @classmethod
    def from_artifact(cls: type[D], artifact: Artifact, config: Config, device: str) -> D:
        """Rebuild an instance of this kind from its artifact."""
        reads, writes = (_read_sizes(artifact, key) for key in ("reads", "writes"))

        def make() -> D:
            return cls(config, reads, writes, artifact.manifest.name)

        tensors = artifact.tensors(device)
        # On the device without memory first: what a manifest claims is compared before anything is allocated.
        wanted = _shapes_without_memory(make, artifact)
        if {name: tuple(t.shape) for name, t in tensors.items()} != wanted:
            raise ArtifactError(
                f"the tensors of {artifact.path} do not fit a {cls.family}",
                found=f"{_shown({name: tuple(t.shape) for name, t in tensors.items()})}; wanted {_shown(wanted)}",
                hint="make it anew or restore the files",
            )
        dictionary = make()
        dictionary.to(device=device, dtype=next(iter(tensors.values())).dtype)
        dictionary.load_state_dict(tensors)
        return dictionary


def make_dictionary(
    family: str, config: Config | None, reads: Mapping[Site, int], writes: Mapping[Site, int], name: str = ""
) -> Dictionary:
    """A new dictionary of a registered family, all weights zero until `initialise`.

    Raises:
        ConfigError: unknown family (the nearest names are offered), or settings of another kind.
    """
    kind: type[Dictionary] = get("dictionary", family)
    return kind(config or kind.config_class(), reads, writes, name)


def load_dictionary(folder: Path, device: str = "cpu") -> Dictionary:
    """Open what `Dictionary.save` wrote.

    Raises:
        ArtifactError: missing, damaged, newer, or not a dictionary.
    """
    artifact = read_artifact(Path(folder), KIND)
    family = artifact.manifest.details.get("family")
    if not isinstance(family, str):
        raise ArtifactError(f"the manifest of {folder} names no family of dictionaries")
    kind: type[Dictionary] = get("dictionary", family)
    config = kind.config_class.parse(artifact.manifest.details.get("config", {}), source=str(folder))
    return kind.from_artifact(artifact, config, device)


def _read_sizes(artifact: Artifact, key: str) -> dict[Site, int]:
    pairs = artifact.manifest.details.get(key)
    if not isinstance(pairs, list) or any(not isinstance(pair, list) or len(pair) != 2 for pair in pairs):
        raise ArtifactError(f"the manifest of {artifact.path} has no list of sites {key!r}")
    if any(not isinstance(size, int) or size < 0 for _, size in pairs):
        raise ArtifactError(f"the manifest of {artifact.path} has sizes under {key!r} that are none")
    return {Site.parse(site): size for site, size in pairs}


def _shapes_without_memory(make: Callable[[], Dictionary], artifact: Artifact) -> dict[str, tuple[int, ...]]:
    try:
        with torch.device("meta"):
            return {name: tuple(tensor.shape) for name, tensor in make().state_dict().items()}
    except (RuntimeError, TypeError, OverflowError) as error:
        found = str(error).partition("\n")[0]
        raise ArtifactError(
            f"no dictionary can have the sizes that the manifest of {artifact.path} names", found=found
        ) from None


def _shown(shapes: Mapping[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} {shape}" for name, shape in sorted(shapes.items())) or "none"
