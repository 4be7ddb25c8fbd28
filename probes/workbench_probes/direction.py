"""A fitted probe taken out of its Result: to apply, to steer with, to hold against a dictionary."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from workbench.core import ConfigError, Edit, Result, Site, nearest


@dataclass(frozen=True)
class FittedProbe:
    """The probe that `probe_sites` fitted on all rows of a site.

    Attributes:
        weight: [c d] and offset: [c]: logits of a row x are `weight @ x + offset`; c is 1 for two classes and numbers.
    """

    site: Site
    weight: Float[Tensor, "c d"]
    offset: Float[Tensor, " c"]
    classes: tuple[str, ...]

    def logits(self, rows: Float[Tensor, "n d"]) -> Float[Tensor, "n c"]:
        """What the probe says of some rows."""
        return rows.to(self.weight) @ self.weight.T + self.offset

    def direction(self, towards: str | None = None) -> Float[Tensor, " d"]:
        """The unit vector along which a class gains most on the others (the second class, or the number, by default).

        Raises:
            ConfigError: no such class.
        """
        place = self._place(towards)
        weight = self.weight
        if len(weight) == 1:
            found = weight[0] if place != 0 or not self.classes else -weight[0]
        else:
            found = weight[place] - weight.mean(0)
        return found / found.norm().clamp_min(1e-30)

    def edit(self, strength: float, towards: str | None = None, rows: str | tuple[int, ...] | Tensor = "all") -> Edit:
        """Steering: add so much of the direction at the probe's site."""
        return Edit(self.site, "add", self.direction(towards), rows, factor=strength)

    def _place(self, towards: str | None) -> int:
        if towards is None or not self.classes:
            return len(self.classes) - 1
        if towards not in self.classes:
            raise ConfigError(f"the probe knows no class {towards!r}", hint=nearest(towards, self.classes))
        return self.classes.index(towards)


def read_probe(result: Result, site: Site | str | None = None) -> FittedProbe:
    """The probe of a site (default: the best one) out of a Result of kind `probes`.

    Raises:
        ConfigError: that site was not probed.
    """
    wanted = str(site or result.params["best"])
    known = [name.removeprefix("weight.") for name in result.arrays if name.startswith("weight.")]
    if wanted not in known:
        raise ConfigError(f"no probe at {wanted}", hint=nearest(wanted, known))
    weight, offset = (torch.from_numpy(np.array(result.arrays[f"{part}.{wanted}"])) for part in ("weight", "offset"))
    return FittedProbe(Site.parse(wanted), weight, offset, tuple(result.params["classes"]))


def nearest_features(
    probe: FittedProbe, written: Float[Tensor, "f d"], count: int = 10
) -> list[dict[str, float | int | str]]:
    """Features whose written rows have the largest absolute cosine with each class's direction; class, feature, cosine.

    The largest cosine of as many random directions of that size lies near sqrt(2 ln(f) / d), given as `chance`.
    """
    unit = torch.nn.functional.normalize(written.float(), dim=1)
    chance = float((2 * np.log(max(len(written), 2)) / written.shape[1]) ** 0.5)
    rows: list[dict[str, float | int | str]] = []
    for name in probe.classes[1:] if len(probe.classes) == 2 else probe.classes or ("number",):
        cosine = unit @ probe.direction(name if probe.classes else None).to(unit)
        for place in cosine.abs().topk(min(count, len(cosine))).indices.tolist():
            rows.append({"class": name, "feature": place, "cosine": float(cosine[place]), "chance": chance})
    return rows
