"""ActivationStore: read activations back, and say of every row which text it belongs to."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from jaxtyping import Float, Int
from safetensors import SafetensorError, safe_open
from torch import Tensor

from workbench.core import (
    ArtifactError,
    Manifest,
    MaskPolicy,
    Site,
    SiteError,
    StoreError,
    file_sha256,
    nearest,
    read_artifact,
)
from workbench.models import HookedModel, TokenBatch, Tokenizer

from .compatibility import refuse_model
from .shards import Shard
from .text_index import TextIndex, read_document_ids, read_text_index

_OPEN_SHARDS = 8
_DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}


@dataclass(frozen=True)
class RowOrigin:
    """Where a row comes from: the document, the sequence and position in the packed text, the token.

    `start` is the sequence's first token counted in its document (without BOS), -1 where it is not known.
    """

    row: int
    document: str
    start: int
    sequence: int
    position: int
    token_id: int


class ActivationStore:
    """Activations of a text at some sites, row by row, in files that are mapped into memory when read.

    Rows number all positions that are no padding, masked ones too, sequence after sequence. A partial store
    offers the rows of its first shards without a gap.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder = folder
        self.manifest = manifest
        self._shards = _leading([Shard.from_json(data) for data in manifest.details.get("shards", ())])
        self._open: OrderedDict[int, dict[str, Tensor]] = OrderedDict()

    @property
    def sites(self) -> tuple[Site, ...]:
        return tuple(Site.parse(name) for name in self.manifest.details["sites"])

    @property
    def policy(self) -> MaskPolicy:
        return self.manifest.mask or MaskPolicy()

    @property
    def special_ids(self) -> tuple[int, ...]:
        return tuple(self.manifest.details["special_ids"])

    @property
    def dtype(self) -> torch.dtype:
        return _DTYPES[self.manifest.config["dtype"]]

    @property
    def partial(self) -> bool:
        """True when the capture was interrupted; capturing again completes it."""
        return self.manifest.partial

    @property
    def n_rows(self) -> int:
        return self._shards[-1].stop_row if self._shards else 0

    @property
    def n_sequences(self) -> int:
        return self._shards[-1].stop_sequence if self._shards else 0

    def __len__(self) -> int:
        return self.n_rows

    def __repr__(self) -> str:
        flag = ", partial" if self.partial else ""
        return f"ActivationStore({self.folder}: {self.n_rows:,} rows at {len(self.sites)} sites{flag})"

    @cached_property
    def index(self) -> TextIndex:
        """Tokens, lengths and documents of the rows that are there."""
        whole = read_text_index(self.folder)
        n = self.n_sequences
        return TextIndex(whole.tokens[: self.n_rows], whole.lengths[:n], whole.documents[:n], whole.starts[:n])

    @cached_property
    def document_ids(self) -> list[str]:
        return read_document_ids(self.folder)

    @property
    def tokens(self) -> Int[Tensor, " n"]:
        """The token of every row."""
        return self.index.tokens

    def shape(self, site: Site | str) -> tuple[int, ...]:
        """Shape of one row at a site.

        Raises:
            SiteError: the store has no such site; the nearest are offered.
        """
        name = str(Site.parse(site))
        shapes = self.manifest.details["sites"]
        if name not in shapes:
            raise SiteError(f"{self.folder.name} has no rows at {name}", hint=nearest(name, shapes, "it has"))
        return tuple(shapes[name])

    def row(self, row: int) -> RowOrigin:
        """Trace a row back to its text.

        Raises:
            StoreError: no such row.
        """
        if not 0 <= row < self.n_rows:
            raise StoreError(f"there is no row {row}", found=f"{self.folder.name} has rows 0 to {self.n_rows - 1}")
        sequence = self.index.sequence_of(row)
        position = row - int(self.index.offsets[sequence])
        document = self.document_ids[int(self.index.documents[sequence])]
        return RowOrigin(row, document, int(self.index.starts[sequence]), sequence, position, int(self.tokens[row]))

    def context(self, row: int, tokenizer: Tokenizer, width: int = 8) -> tuple[str, str, str]:
        """The text before a row's token, the token, and the text after it, at most `width` tokens each way."""
        origin = self.row(row)
        first, stop = (int(self.index.offsets[origin.sequence + step]) for step in (0, 1))
        first, stop = max(first, row - width), min(stop, row + 1 + width)
        strings = tokenizer.strings(self.tokens[first:stop].tolist())
        here = row - first
        return "".join(strings[:here]), strings[here], "".join(strings[here + 1 :])

    def read(self, site: Site | str, start: int = 0, stop: int | None = None) -> Float[Tensor, "n ..."]:
        """Consecutive rows at a site, in the store's number format."""
        stop = self.n_rows if stop is None else min(stop, self.n_rows)
        rows = torch.arange(start, max(start, stop))
        return self.gather(site, rows, torch.empty(len(rows), *self.shape(site), dtype=self.dtype))

    def gather(self, site: Site | str, rows: Int[Tensor, " n"], out: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
        """Rows in ascending order into `out` (the store's number format); returns `out`."""
        name = str(Site.parse(site))
        self.shape(site)
        bounds = torch.tensor([shard.first_row for shard in self._shards] + [self.n_rows])
        cuts = torch.searchsorted(rows.contiguous(), bounds).tolist()
        for shard, first, stop in zip(self._shards, cuts[:-1], cuts[1:], strict=True):
            if first < stop:
                local = rows[first:stop] - shard.first_row
                torch.index_select(self._view(shard)[name], 0, local, out=out[first:stop])
        return out

    def read_sequences(
        self, sequences: Sequence[int], sites: Sequence[Site | str] = ()
    ) -> tuple[TokenBatch, dict[Site, Float[Tensor, "b t ..."]]]:
        """Some sequences as a batch: right-padded tokens, and activations (all sites by default) with zeros there."""
        spans = [(int(self.index.offsets[s]), int(self.index.offsets[s + 1])) for s in sequences]
        lengths = torch.tensor([stop - first for first, stop in spans])
        ids = torch.zeros(len(spans), int(lengths.max()), dtype=torch.long)
        for place, (first, stop) in enumerate(spans):
            ids[place, : stop - first] = self.tokens[first:stop]
        values = {}
        for site in map(Site.parse, sites or self.sites):
            values[site] = torch.zeros(*ids.shape, *self.shape(site), dtype=self.dtype)
            for place, (first, stop) in enumerate(spans):
                values[site][place, : stop - first] = self.read(site, first, stop)
        return TokenBatch(ids, lengths), values

    def verify(self) -> None:
        """Hash every file against the manifest.

        Raises:
            StoreError: naming the damaged file.
        """
        for name, sha256 in self.manifest.details.get("files", {}).items():
            path = self.folder / name
            if not path.exists() or file_sha256(path) != sha256:
                raise _damaged(path)
        for shard in self._shards:
            if not shard.intact(self.folder):
                raise _damaged(self.folder / shard.file)

    def check_compatible(self, model: HookedModel) -> None:
        """Refuse to read these rows as another model's.

        Raises:
            StoreError: the model's weights, tokenizer or policy differ; both sides are named.
        """
        refuse_model(str(self.folder), self.manifest, model)

    def _view(self, shard: Shard) -> dict[str, Tensor]:
        """The tensors of a shard, mapped; few shards stay mapped so that memory stays flat."""
        if shard.number not in self._open:
            if len(self._open) >= _OPEN_SHARDS:
                self._open.popitem(last=False)
            path = self.folder / shard.file
            try:
                with safe_open(path, framework="pt") as file:
                    self._open[shard.number] = {str(site): file.get_tensor(str(site)) for site in self.sites}
            except (OSError, SafetensorError) as error:
                raise StoreError(f"cannot read {path}", found=str(error), hint="capture again to restore it") from None
        self._open.move_to_end(shard.number)
        return self._open[shard.number]


def open_store(folder: Path, verify: bool = False) -> ActivationStore:
    """Open a store; every file's size is checked, its contents too when `verify`.

    Raises:
        StoreError: no store there, a newer schema, or a missing or damaged file.
    """
    folder = Path(folder)
    try:
        manifest = read_artifact(folder, "store").manifest
    except ArtifactError as error:
        raise StoreError(str(error)) from None
    store = ActivationStore(folder, manifest)
    for shard in store._shards:
        if not shard.intact(folder, contents=False):
            raise _damaged(folder / shard.file)
    if verify:
        store.verify()
    return store


def _leading(shards: list[Shard]) -> list[Shard]:
    """The shards from the first on without a gap."""
    return [shard for place, shard in enumerate(shards) if shard.number == place]


def _damaged(path: Path) -> StoreError:
    return StoreError(
        f"{path} is missing or damaged",
        found="its size or checksum differs from the manifest's",
        hint="capture into the same folder again: whole shards are kept and this one is made anew",
    )
