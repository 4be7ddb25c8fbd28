"""Tweaks: changes of codes between encoding and decoding, as values with a JSON form."""

from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch

from .codes import Codes
from .errors import ConfigError, ShapeError


class Tweak(Protocol):
    """What `Edit.through` applies to the codes of its codec."""

    def __call__(self, codes: Codes) -> Codes: ...
    def to_json(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class CodeTweak:
    """A change of some features inside `through`: set their value or scale it (0 ablates).

    `set` acts on the features where they are active and switches them on where they are not.
    """

    index: tuple[int, ...]
    operation: str = "scale"
    value: float = 0.0

    def __post_init__(self) -> None:
        if self.operation not in ("scale", "set"):
            raise ConfigError(f"unknown code tweak {self.operation!r}", hint="use scale or set")

    def __call__(self, codes: Codes) -> Codes:
        """The tweaked codes; padded input stays padded."""
        codes = codes.padded()
        wanted = torch.tensor(self.index, device=codes.index.device, dtype=codes.index.dtype)
        hit = torch.isin(codes.index, wanted)
        if self.operation == "scale":
            return Codes(codes.index, torch.where(hit, codes.value * self.value, codes.value), codes.width)
        kept = torch.where(hit, torch.zeros_like(codes.value), codes.value)
        extra = wanted.expand(len(codes), -1)
        forced = codes.value.new_full(extra.shape, self.value)
        return Codes(torch.cat([codes.index, extra], 1), torch.cat([kept, forced], 1), codes.width)

    def to_json(self) -> dict[str, Any]:
        return {"index": list(self.index), "operation": self.operation, "value": self.value}


@dataclass(frozen=True)
class SlotTweak:
    """Overwrite slots of a codebook's rows by given codes; values stay, so that as many codes as before are added up.

    Rows stand group by group with k slots each, the nearest code first, and code c of group g is number g * C + c.
    In every group that has codes here, `weakest` gives them the last slots ("one code" of Tamkin et al. 2023, where
    a group has one), `all` gives them every slot, in turn. Groups without codes stay as they are.
    """

    index: tuple[int, ...]
    groups: int = 1
    slots: str = "weakest"

    def __post_init__(self) -> None:
        if self.slots not in ("weakest", "all"):
            raise ConfigError(f"unknown slots {self.slots!r}", hint="use weakest or all")
        if self.groups < 1:
            raise ConfigError(f"a codebook has at least one group, found {self.groups}")

    def __call__(self, codes: Codes) -> Codes:
        """The tweaked codes, padded.

        Raises:
            ShapeError: the rows do not consist of so many groups, or a code is beyond the width.
        """
        codes = codes.padded()
        k, size = codes.index.shape[1] // self.groups, codes.width // self.groups
        if codes.index.shape[1] % self.groups or codes.width % self.groups or max(self.index, default=0) >= codes.width:
            raise ShapeError(
                f"slots want rows of {self.groups} equal groups and codes below the width",
                found=f"found {codes.index.shape[1]} places, width {codes.width}, codes {self.index}",
            )
        index = codes.index.clone()
        for group in range(self.groups):
            own = [code for code in self.index if code // size == group]
            count = k if self.slots == "all" else min(len(own), k)
            if own:
                chosen = [own[slot % len(own)] for slot in range(count)]
                index[:, (group + 1) * k - count : (group + 1) * k] = torch.tensor(chosen).to(index)
        return replace(codes, index=index)

    def to_json(self) -> dict[str, Any]:
        return {"index": list(self.index), "groups": self.groups, "slots": self.slots}


def tweak_from_json(data: dict[str, Any]) -> CodeTweak | SlotTweak:
    """Read what `to_json` of a tweak wrote."""
    if "slots" in data:
        return SlotTweak(tuple(data["index"]), data["groups"], data["slots"])
    return CodeTweak(tuple(data["index"]), data["operation"], data["value"])
