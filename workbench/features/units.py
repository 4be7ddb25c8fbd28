"""Units of a set of dictionaries by address: whose they are, what they write, which write the same."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from workbench.core import ConfigError, Unit
from workbench.dictionaries import Dictionary, DictionarySet


def unit_of(dictionaries: DictionarySet, member: str, index: int) -> Unit:
    """The address of a feature, code or neuron; its Site is where it reads. Neurons belong to no artifact."""
    dictionary = dictionaries[member]
    site = dictionary.reads[int(dictionary.reads_of(torch.tensor([index]))[0])]
    kind = dictionary.unit_kind
    if kind == "feature":
        kind = "sae" if dictionary.reads == dictionary.writes else "transcoder"
    return Unit(kind, "" if kind == "neuron" else artifact_of(dictionaries), site, index)


def artifact_of(dictionaries: DictionarySet) -> str:
    """How addresses of units call the set."""
    return dictionaries.name.replace(":", "-")


def member_of(dictionaries: DictionarySet, unit: Unit) -> str:
    """The member of a set that has a unit.

    Raises:
        ConfigError: none reads at its Site, or the unit lies beyond its width.
    """
    found = list(dictionaries.reading(unit.site))
    if not found:
        sites = ", ".join(str(site) for member in dictionaries.values() for site in member.reads)
        raise ConfigError(f"{dictionaries.name} has nothing that reads {unit.site}", hint=f"it reads {sites[:200]}")
    width = dictionaries[found[0]].width
    if unit.index >= width:
        raise ConfigError(f"there is no {unit}", hint=f"{found[0]} has the units 0 to {width - 1}")
    return found[0]


def written_rows(dictionary: Dictionary) -> Float[Tensor, "f d"]:
    """What every unit writes, all write Sites side by side."""
    return torch.cat(list(dictionary.writers(torch.arange(dictionary.width)).values()), 1).detach().float()


def twins(dictionary: Dictionary, chunk: int = 1024) -> tuple[Int[Tensor, " f"], Float[Tensor, " f"]]:
    """For every unit the other one whose written direction is most alike, and their cosine."""
    rows = torch.nn.functional.normalize(written_rows(dictionary), dim=1)
    nearest, cosine = torch.zeros(len(rows), dtype=torch.long), torch.full((len(rows),), -1.0)
    for start in range(0, len(rows), chunk):
        own = rows[start : start + chunk]
        alike = own @ rows.T
        alike[torch.arange(len(own)), start + torch.arange(len(own))] = -torch.inf
        cosine[start : start + chunk], nearest[start : start + chunk] = alike.max(1)
    return nearest, cosine
