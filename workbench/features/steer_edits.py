"""Steering edits made into Edits of a run: positions resolved, strengths in natural units, controls beside them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from jaxtyping import Bool
from torch import Tensor

from workbench.core import CodeTweak, ConfigError, Edit, Site, SlotTweak, Unit, generator
from workbench.dictionaries import Dictionary

from .bench import Bench, OneUnit, written_directions
from .feature_scan import FeatureScan
from .steer_config import SteeringEdit
from .units import member_of


@dataclass(frozen=True)
class _Slot:
    """A code put in, or taken out, at some rows; or the reverse of it."""

    code: int
    rows: Tensor
    out: bool
    reverse: bool

    @property
    def scale(self) -> float:
        """What the code's value is multiplied by where it stands."""
        if self.out:
            return 2.0 if self.reverse else 0.0
        return -1.0 if self.reverse else 1.0


@dataclass(frozen=True)
class Steering:
    """Some edits on one prompt of a bench.

    Attributes:
        scan: tells how strongly units fire by nature; without one the prompt itself does.
    """

    bench: Bench
    prompt: str
    edits: Sequence[SteeringEdit]
    scan: FeatureScan | None = None
    _sigmas: dict[int, float] = field(default_factory=dict, repr=False)

    @cached_property
    def tokens(self) -> list[int]:
        """The prompt's token ids."""
        return self.bench.model.tokens(self.prompt).ids[0].tolist()

    def sigma(self, number: int) -> float:
        """The natural unit of an edit's strength."""
        if number not in self._sigmas:
            self._sigmas[number] = self._natural(self.edits[number]) or 1.0
        return self._sigmas[number]

    def in_force(self, factor: float = 1.0, random: int | None = None) -> list[Edit]:
        """Every Edit of a run, codebooks included, with the strengths times `factor`.

        A code has no strength: with a negative factor it is put in with its sign reversed, or doubled where it was to
        be taken out.

        Args:
            random: instead of what each edit writes, write a random direction of equal norm, drawn with this seed
                (of a codebook: another code of the group).
        """
        made: list[Edit] = []
        slots: dict[str, list[_Slot]] = {}
        for number, edit in enumerate(self.edits):
            rows = self.rows(edit.positions)
            if not edit.unit:
                made += self._along(edit, self.sigma(number) * edit.strength * factor, rows, random, number)
                continue
            unit = Unit.parse(edit.unit)
            name = member_of(self.bench.dictionaries, unit)
            member = self.bench.dictionaries[name]
            if member.unit_kind == "code":
                out = edit.operation == "ablate"
                other = random is not None and not out
                code = self._other_code(member, unit.index, random or 0, number) if other else unit.index
                slots.setdefault(name, []).append(_Slot(code, rows, out, reverse=factor < 0))
                continue
            made += self._of_unit(edit, member, unit, self.sigma(number), factor, rows, random, number)
        return [*self._books(slots), *made]

    def rows(self, positions: str) -> Bool[Tensor, " t"]:
        """A positions rule as a mask over absolute positions.

        Raises:
            ConfigError: the rule cannot be read, or its text is not in the prompt.
        """
        count, n_ctx = len(self.tokens), self.bench.model.shape.n_ctx
        at = torch.arange(n_ctx)
        if positions == "all":
            return at > 0
        if positions == "prompt":
            return (at > 0) & (at < count)
        if positions == "generated":
            return at >= count
        if positions == "last":
            return at == count - 1
        if positions.startswith("after:"):
            return at > self._end_of(positions.removeprefix("after:"))
        number, dash = positions.rstrip("-"), positions.endswith("-")
        if number.isdigit():
            return at >= int(number) if dash else at == int(number)
        raise ConfigError(f"unknown positions {positions!r}", hint="all, prompt, generated, last, 3, 3- or after:TEXT")

    def _end_of(self, text: str) -> int:
        """The last position of the first place where the text stands in the prompt."""
        names = self.bench.model.tokenizer.strings(self.tokens)
        joined = "".join(names)
        start = joined.find(text)
        if not text or start < 0:
            raise ConfigError(f"{text!r} is not in the prompt", hint="positions `after:TEXT` need a text that is")
        ends = torch.tensor([len(name) for name in names]).cumsum(0)
        return int((ends < start + len(text)).sum())

    def _of_unit(
        self, edit: SteeringEdit, member: Dictionary, unit: Unit, sigma: float, factor: float,
        rows: Tensor, random: int | None, number: int,
    ) -> list[Edit]:  # fmt: skip
        own = written_directions(member, unit)
        if random is not None:
            own = {site: _random_like(row, random, number, str(site)) for site, row in own.items()}
        if edit.operation == "add":
            value = sigma * edit.strength * factor
            return [Edit.add(site, value * row.to(self.bench.model.device), rows) for site, row in own.items()]
        # at factor 1 the operation itself, at 0 nothing, at -1 as far the other way
        codec = OneUnit(member, unit, own)
        if edit.operation == "clamp":
            if factor == 1.0:
                return [Edit.through(codec, (CodeTweak((0,), "set", sigma * edit.strength),), rows, keep_error=True)]
            tweaks = (CodeTweak((0,), "set", sigma * edit.strength * factor),)
            return [Edit.through(codec, tweaks, rows, keep_error=True)] if factor else []
        scale = 0.0 if edit.operation == "ablate" else edit.strength
        return [Edit.through(codec, (CodeTweak((0,), "scale", 1 + factor * (scale - 1)),), rows, keep_error=True)]

    def _along(self, edit: SteeringEdit, value: float, rows: Tensor, random: int | None, number: int) -> list[Edit]:
        site = Site.parse(edit.site)
        row = torch.tensor(edit.direction, dtype=torch.float32)
        if random is not None:
            row = _random_like(row, random, number, edit.site)
        row = row.to(self.bench.model.device)
        unit = row / row.norm().clamp_min(1e-12)
        if edit.operation == "add":
            return [Edit.add(site, value * unit, rows)]
        out = Edit.project_out(site, row, rows)
        if edit.operation == "ablate":
            return [out]
        if edit.operation == "clamp":
            return [out, Edit.add(site, value * unit, rows)]
        raise ConfigError("a direction can be added, clamped or ablated", found=f"found {edit.operation!r}")

    def _books(self, slots: "Mapping[str, list[_Slot]]") -> list[Edit]:
        """Codebooks in force, their positions parted by which codes are put in or taken out."""
        made = []
        for name, book in self.bench.books.items():
            own = slots.get(name, [])
            kinds = sum(((slot.rows.long() << n) for n, slot in enumerate(own)), torch.zeros(1, dtype=torch.long))
            for kind in sorted(set(kinds.tolist())):
                there = [slot for n, slot in enumerate(own) if kind >> n & 1]
                put = tuple(slot.code for slot in there if not slot.out)
                tweaks = [SlotTweak(put, _groups(book))] if put else []
                tweaks += [CodeTweak((slot.code,), "scale", slot.scale) for slot in there if slot.scale != 1]
                here = "all" if len(kinds) == 1 else kinds == kind
                made.append(Edit.through(book, tuple(tweaks), here))
        return made

    def _other_code(self, book: Dictionary, code: int, seed: int, number: int) -> int:
        size = book.width // _groups(book)
        first = code // size * size
        step = 1 + int(torch.randint(max(size - 1, 1), (1,), generator=generator(seed, "code", number)))
        return first + (code - first + step) % size

    def _natural(self, edit: SteeringEdit) -> float:
        if edit.unit:
            unit = Unit.parse(edit.unit)
            if self.scan is not None and self._scanned(unit):
                return self.scan.scale(unit)
            member = self.bench.member(unit)
            found = self._captured(list(member.reads))
            flat = {site: found[site].flatten(0, 1).flatten(1) for site in member.reads}
            values = member.encode(flat).dense()[:, unit.index].detach()
            active = values[values != 0]
            return float(active.square().mean().sqrt()) if len(active) else float(values.abs().max())
        site = Site.parse(edit.site)
        row = torch.tensor(edit.direction)
        rows = self._captured([site])[site][0, 1:].flatten(1).float().cpu()
        return float((rows @ (row / row.norm().clamp_min(1e-12))).std()) if len(rows) > 1 else 1.0

    def _scanned(self, unit: Unit) -> bool:
        assert self.scan is not None
        try:
            return self.scan.scale(unit) > 0
        except (ConfigError, IndexError):
            return False

    def _captured(self, sites: list[Site]) -> dict[Site, Tensor]:
        return self.bench.model.capture(torch.tensor([self.tokens]), sites)


def _random_like(row: Tensor, seed: int, number: int, site: str) -> Tensor:
    """A random direction as long as a given one."""
    drawn = torch.randn(row.shape, generator=generator(seed, "direction", number, site))
    return drawn / drawn.norm() * row.norm().cpu()


def _groups(book: Dictionary) -> int:
    return int(getattr(book.config, "groups", 1))
