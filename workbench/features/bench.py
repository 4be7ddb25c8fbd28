"""Bench: a model with a set of dictionaries, and one unit of it as a codec of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core import ArtifactError, Codes, ConfigError, Edit, Site, Unit
from workbench.dictionaries import Dictionary, DictionarySet
from workbench.models import HookedModel

from .units import member_of

RESIDUAL = ("mlp_out", "attn_out", "resid_pre", "resid_mid", "resid_post")
"""Sites whose tensors are added to the residual stream as they are, or are it."""


@dataclass(frozen=True)
class Bench:
    """What every measurement of a unit needs.

    Attributes:
        weights: of a model that was trained with its codebooks.
    """

    model: HookedModel
    dictionaries: DictionarySet
    weights: Mapping[str, Tensor] = field(default_factory=dict)

    def check(self) -> "Bench":
        """This bench, if the dictionaries were made for these weights.

        Raises:
            ArtifactError: they belong to other weights; both hashes are named.
        """
        manifest = self.dictionaries.manifest
        wanted = manifest.model.weight_hash if manifest and manifest.model else ""
        found = self.model.ref.weight_hash
        if wanted and found and wanted != found:
            raise ArtifactError(
                f"{self.dictionaries.name} belongs to another model",
                found=f"made for weights {wanted[:12]}, this model has {found[:12]}",
                hint="choose the model that it was made for, or other dictionaries",
            )
        return self

    def member(self, unit: Unit) -> Dictionary:
        """The dictionary that has a unit."""
        return self.dictionaries[member_of(self.dictionaries, unit)]

    @property
    def books(self) -> dict[str, Dictionary]:
        """The members that stand in the model all the time: codebooks."""
        return {name: member for name, member in self.dictionaries.items() if member.unit_kind == "code"}

    def in_force(self, but: Sequence[str] = ()) -> list[Edit]:
        """The codebooks as Edits; other dictionaries only watch."""
        return [Edit.through(book) for name, book in self.books.items() if name not in but]


class OneUnit:
    """One unit as a codec: its value alone is encoded, and decoded along its own direction or another one.

    With `keep_error` an Edit through it moves the written tensor by (new value - value) * direction and nothing else.

    Args:
        directions: write Site -> what is written per unit of the value; None: what the unit writes.
    """

    def __init__(self, dictionary: Dictionary, unit: Unit, directions: Mapping[Site, Tensor] | None = None) -> None:
        self.dictionary, self.unit = dictionary, unit
        self.name = f"{dictionary.name} {unit.index}"
        own = directions or written_directions(dictionary, unit)
        self.reads = (unit.site,)
        self.writes = tuple(own)
        self.directions = {site: row.to(dictionary.device) for site, row in own.items()}

    def encode(self, inputs: Mapping[Site, Float[Tensor, "n d"]]) -> Codes:
        codes = self.dictionary.encode(inputs).padded()
        value = torch.where(codes.index == self.unit.index, codes.value, 0.0).sum(1, keepdim=True)
        return Codes(torch.zeros_like(value, dtype=torch.long), value, 1)

    def decode(self, codes: Codes) -> dict[Site, Float[Tensor, "n d"]]:
        value = codes.value.sum(1, keepdim=True)
        return {site: value * row for site, row in self.directions.items()}

    def bypass(self, inputs: Mapping[Site, Float[Tensor, "n d"]]) -> dict[Site, Float[Tensor, "n d"]]:
        rows = next(iter(inputs.values())).shape[0]
        return {site: row.new_zeros(rows, len(row)) for site, row in self.directions.items()}


def written_directions(dictionary: Dictionary, unit: Unit) -> dict[Site, Float[Tensor, " d"]]:
    """What a unit writes per unit of its value, at the Sites where that is not zero."""
    rows = dictionary.writers(torch.tensor([unit.index], device=dictionary.device))
    found = {site: row[0].detach().float() for site, row in rows.items() if bool(row.any())}
    return found or {site: row[0].detach().float() for site, row in list(rows.items())[:1]}


def into_residual(model: HookedModel, site: Site, rows: Float[Tensor, "n d"]) -> Float[Tensor, "n m"]:
    """Rows written at a Site as they reach the residual stream.

    Raises:
        ConfigError: the Site is neither added to the stream nor the input of an output projection.
    """
    if site.kind in RESIDUAL and not (site.kind in ("mlp_out", "attn_out") and model.shape.sandwich):
        return rows
    if site.kind == "attn_z" and not model.shape.sandwich:
        weight = model.params()[f"blocks.{site.layer}.attn.W_O"].float()
        return rows @ weight.flatten(0, 1).to(rows)
    raise ConfigError(f"what is written at {site} does not reach the residual stream as it is")


def residual_rows(model: HookedModel, dictionary: Dictionary, index: Tensor) -> Float[Tensor, "n m"]:
    """What some units write in all, as it reaches the residual stream."""
    parts = dictionary.writers(index.to(dictionary.device)).items()
    return torch.stack([into_residual(model, site, rows.detach().float()) for site, rows in parts]).sum(0)


def logit_directions(model: HookedModel, rows: Float[Tensor, "n m"]) -> Float[Tensor, "n v"]:
    """Direct path to the logits: final norm's weight and unembedding; its scale is left out, the mean removed."""
    parameters = model.params()
    unembedding, scale = parameters["unembed.W_U"].float(), parameters["ln_final.w"].float()
    rows = rows.to(scale)
    if model.shape.norm == "layer":
        rows = rows - rows.mean(1, keepdim=True)
    logits = (rows * scale) @ unembedding
    return logits - logits.mean(1, keepdim=True)
