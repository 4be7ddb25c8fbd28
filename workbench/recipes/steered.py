"""A language model with its codebooks in force, and codes put into their slots."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from workbench.core import ConfigError, Edit, Progress, SlotTweak, Unit, generator, read_artifact
from workbench.data import PackConfig, PackedText
from workbench.dictionaries import Dictionary, DictionarySet
from workbench.models import HookedModel
from workbench.workspace import Workspace

from .codebook_artifact import load_codebooks
from .subject import open_subject

SLOTS = {"one code": "weakest", "all codes": "all"}
"""Protocols of Tamkin et al. (2023): only the weakest slot of each affected group, or all of them."""


@dataclass(frozen=True)
class Steered:
    """A model with its codebooks: what every measurement here needs."""

    model: HookedModel
    books: DictionarySet
    weights: Mapping[str, Tensor] = field(default_factory=dict)

    def edits(self, codes: Mapping[str, Sequence[int]] | None = None, slots: str = "weakest") -> list[Edit]:
        """All books in force, with codes (member -> codes) in their slots at every position but the first.

        Position 0 is left alone: it carries a constant of the model, not text.
        """
        made = []
        for name, book in self.books.items():
            own = tuple((codes or {}).get(name, ()))
            if not own:
                made.append(Edit.through(book))
                continue
            later = torch.ones(self.model.shape.n_ctx, dtype=torch.bool)
            later[0] = False
            tweak = SlotTweak(own, _groups(book), slots)
            made += [Edit.through(book, rows=~later), Edit.through(book, (tweak,), later)]
        return made


def open_steered(
    place: Workspace,
    name: str,
    text: str,
    pack: PackConfig | None = None,
    *,
    model: str | None = None,
    device: str = "auto",
    dtype: str = "float32",
    offline: bool = False,
    progress: Progress | None = None,
) -> tuple[Steered, PackedText]:
    """A set of the workspace in its model, with the weights that were trained with it, and a text packed for both.

    Raises:
        ConfigError: the set does not say which model it belongs to, and none is given.
    """
    folder = place.open("dictionaries", name).path
    reference = read_artifact(folder).manifest.model
    if model is None and reference is None:
        raise ConfigError(f"{name} does not say which model it belongs to", hint="name it with --model")
    named = model or (reference.id if reference else "")
    subject, packed = open_subject(named, text, pack, device=device, dtype=dtype, offline=offline, progress=progress)
    books, weights = load_codebooks(folder, subject, str(subject.device))
    return Steered(subject, books, weights), packed


def by_member(books: DictionarySet, units: Sequence[Unit]) -> dict[str, list[int]]:
    """Codes of each member.

    Raises:
        ConfigError: a code that no member has.
    """
    found: dict[str, list[int]] = {}
    for unit in units:
        names = [name for name, book in books.items() if unit.site in book.reads]
        if not names or unit.index >= books[names[0]].width:
            raise ConfigError(f"no codebook has the code {unit}", hint=f"members: {', '.join(books)}")
        found.setdefault(names[0], []).append(unit.index)
    return found


def random_codes(books: DictionarySet, codes: Mapping[str, Sequence[int]], seed: int) -> dict[str, list[int]]:
    """For every code another one of its group, drawn among those that are not used."""
    found: dict[str, list[int]] = {}
    for name, own in codes.items():
        size, draw = books[name].width // _groups(books[name]), generator(seed, name)
        taken = set(own)
        for code in own:
            free = [c for c in range(code // size * size, (code // size + 1) * size) if c not in taken]
            if free:
                picked = free[int(torch.randint(len(free), (1,), generator=draw))]
                taken.add(picked)
                found.setdefault(name, []).append(picked)
    return found


def _groups(book: Dictionary) -> int:
    return int(getattr(book.config, "groups", 1))
