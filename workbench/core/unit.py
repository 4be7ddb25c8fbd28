"""Unit: one address for an SAE latent, transcoder feature, code, neuron, head or direction."""

from dataclasses import dataclass

from .errors import ConfigError
from .site import Site

KINDS = ("sae", "transcoder", "code", "neuron", "head", "direction")


@dataclass(frozen=True, order=True)
class Unit:
    """What labels, graph nodes, steering, links and reports point at.

    Attributes:
        kind: one of `sae`, `transcoder`, `code`, `neuron`, `head`, `direction`.
        artifact: the artifact's name or content hash; "" for the model's own parts.
        site: where the unit reads (its pre-activation lives there).
        index: the row of the dictionary, the neuron or the head.
    """

    kind: str
    artifact: str
    site: Site
    index: int

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(f"unknown kind of unit {self.kind!r}", hint=f"kinds: {', '.join(KINDS)}")

    def __str__(self) -> str:
        return f"{self.kind}:{self.artifact}:{self.site}:{self.index}"

    @classmethod
    def parse(cls, text: str) -> "Unit":
        """Read what `str` wrote, e.g. `transcoder:demo:mlp_in.3:1855`."""
        parts = text.split(":")
        if len(parts) != 4 or not parts[3].isdigit():
            raise ConfigError(f"cannot read the unit {text!r}", hint="write kind:artifact:site:index")
        return cls(parts[0], parts[1], Site.parse(parts[2]), int(parts[3]))
