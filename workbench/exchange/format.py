"""Format: one layout of someone else's dictionaries; each is one file and one registration."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from workbench.core import ArtifactError

from .import_config import ImportConfig
from .source import Source
from .weights import CoderWeights, CrossLayerWeights

Foreign = CoderWeights | CrossLayerWeights


class Format:
    """How one library lays its dictionaries down.

    `detect` looks at names (and keys, where names say nothing) and never raises for a strange file; `read` raises
    ArtifactError for a damaged one. `write` raises for what the format cannot express.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    writes: ClassVar[bool] = False
    reads: ClassVar[bool] = True
    harmless: ClassVar[str] = ""
    """Pattern of the tensors that may be left unread: they change nothing."""

    def detect(self, source: Source) -> bool:
        """Whether the source has this layout."""
        raise NotImplementedError

    def read(self, source: Source, config: ImportConfig) -> list[Foreign]:
        """Every dictionary of the source.

        Raises:
            ArtifactError: damaged, contradictory, or using a feature that no kind expresses (it is named).
        """
        raise NotImplementedError

    def write(self, dictionaries: Sequence[Foreign], folder: Path) -> list[str]:
        """Write dictionaries into an empty folder; returns notes on what the other library will do differently.

        Raises:
            ArtifactError: something that the format cannot hold (it is named).
        """
        raise ArtifactError(f"{self.title} is read, not written")

    def cannot(self, what: str, hint: str | None = None) -> ArtifactError:
        """The error for what this format cannot hold."""
        return ArtifactError(f"the format {self.name} cannot hold {what}", hint=hint)


def coders(dictionaries: Sequence[Foreign], format: Format) -> list[CoderWeights]:
    """The dictionaries, all of which must be coders of one read and one write site."""
    found = [weights for weights in dictionaries if isinstance(weights, CoderWeights)]
    if len(found) != len(dictionaries) or not found:
        raise format.cannot("a cross-layer transcoder", "use circuit-tracer-clt")
    return found
