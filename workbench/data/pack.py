"""Packing: documents -> sequences of tokens, each from one document only."""

import hashlib
import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from workbench.core import (
    Manifest,
    MaskPolicy,
    Progress,
    Silent,
    TextError,
    TextRef,
    child,
    generator,
    position_mask,
    write_json,
)
from workbench.workspace import build_once, cache_folder

from .corpus import Corpus
from .pack_config import PackConfig

SPLITS = ("all", "train", "heldout")
_FORMAT = 1
_BATCH = 64


@runtime_checkable
class TextTokenizer(Protocol):
    """What packing and tasks ask of a tokenizer."""

    @property
    def bos_id(self) -> int | None: ...
    @property
    def eos_id(self) -> int | None: ...
    @property
    def hash(self) -> str: ...
    def encode(self, text: str) -> list[int]: ...
    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]: ...


@dataclass(frozen=True)
class PackedText:
    """Sequences of tokens, padded on the right; each holds one document or a window of one.

    Attributes:
        ids: token ids [s, t]; lengths: real tokens per sequence, BOS included.
        document: index into `document_ids`.
        ref: name, hash over the tokens, licence and part, as manifests record them.
        start: the sequence's first token counted in its document, without BOS; None where it is not known.
        config: decides which documents are held out.
    """

    ids: Int[Tensor, "s t"]
    lengths: Int[Tensor, " s"]
    document: Int[Tensor, " s"]
    document_ids: list[str]
    ref: TextRef
    start: Int[Tensor, " s"] | None = None
    config: PackConfig = field(default_factory=PackConfig)
    licence_url: str = ""
    tokenizer_hash: str = ""

    def __len__(self) -> int:
        return self.ids.shape[0]

    @property
    def n_tokens(self) -> int:
        """Real tokens of all sequences."""
        return int(self.lengths.sum())

    @property
    def hash(self) -> str:
        """Hex sha256 over the packed tokens and the documents they come from."""
        return self.ref.hash

    def split(self, part: str) -> "PackedText":
        """The sequences of the `train` or the `heldout` documents; a document never lies on both sides.

        Raises:
            TextError: no such part, or it is empty.
        """
        if part == self.ref.split:
            return self
        if part not in SPLITS or self.ref.split != "all":
            raise TextError(f"cannot take the part {part!r} of {self.ref.split}", hint=f"parts: {', '.join(SPLITS)}")
        held = torch.tensor([is_heldout(name, self.config) for name in self.document_ids], dtype=torch.bool)
        keep = held[self.document.long()] == (part == "heldout")
        if not keep.any():
            raise TextError(
                f"the {part} part of {self.ref.id} is empty",
                found=f"{len(self.document_ids)} document(s), {self.config.heldout_share:.0%} of them held out",
                hint="give more documents, or another heldout_share or seed",
            )
        return self.take(keep.nonzero()[:, 0], part)

    def take(self, rows: Int[Tensor, " n"], part: str | None = None) -> "PackedText":
        """Some of the sequences, in the order given; `part` names them in `ref`."""
        ids, lengths, document = self.ids[rows], self.lengths[rows], self.document[rows]
        start = None if self.start is None else self.start[rows]
        ref = self.ref.model_copy(
            update={
                "hash": hash_tokens(ids, lengths, document, self.document_ids),
                "split": part or self.ref.split,
            }
        )
        return replace(self, ids=ids, lengths=lengths, document=document, start=start, ref=ref)

    def mask(self, policy: MaskPolicy, special_ids: Collection[int] = ()) -> Bool[Tensor, "s t"]:
        """Positions that count under a policy; padding never does."""
        return position_mask(self.ids, policy, special_ids, self.lengths)


def hash_tokens(
    ids: Int[Tensor, "s t"], lengths: Int[Tensor, " s"], document: Int[Tensor, " s"], document_ids: list[str]
) -> str:
    """Hex sha256 over tokens, lengths and the documents they come from."""
    digest = hashlib.sha256(json.dumps([list(ids.shape), document_ids]).encode())
    for tensor in (ids, lengths, document):
        digest.update(tensor.int().contiguous().numpy().data)
    return digest.hexdigest()


def is_heldout(document_id: str, config: PackConfig) -> bool:
    """Whether a document is held out: by its id's hash, so that adding documents moves no other."""
    return child(config.seed, "heldout", document_id) < config.heldout_share * 2**63


def pack(
    corpus: Corpus,
    tokenizer: TextTokenizer,
    config: PackConfig | None = None,
    policy: MaskPolicy = MaskPolicy(),
    progress: Progress = Silent(),
) -> PackedText:
    """Tokenise a corpus into sequences; the tokens are cached by corpus, tokenizer and settings.

    A document longer than a sequence is cut into windows, each with its own BOS if the policy wants one. Documents
    never share a sequence, so no attention crosses from one to another.

    Raises:
        TextError: no document gives a sequence.
    """
    config = config or PackConfig()
    stored = config.model_dump(exclude={"heldout_share"})
    key = json.dumps([_FORMAT, corpus.hash, tokenizer.hash, stored, policy.prepend_bos, tokenizer.bos_id])
    folder = cache_folder() / "tokens" / hashlib.sha256(key.encode()).hexdigest()[:24]

    def build(staging: Path) -> Manifest:
        _write(staging, *_sequences(corpus, tokenizer, config, policy, progress))
        return Manifest(kind="tokens", name=corpus.name, config=config.model_dump())

    artifact = build_once(folder, "tokens", build)
    arrays = {name: torch.from_numpy(np.load(folder / f"{name}.npy", allow_pickle=False)) for name in _ARRAYS}
    document_ids = artifact.json("documents.json")
    ref = TextRef(
        id=corpus.name,
        hash=hash_tokens(arrays["ids"], arrays["lengths"], arrays["document"], document_ids),
        licence=corpus.licence,
        split="all",
        sequence_length=config.sequence_length,
    )
    return PackedText(
        **arrays,
        document_ids=document_ids,
        ref=ref,
        config=config,
        licence_url=corpus.licence_url,
        tokenizer_hash=tokenizer.hash,
    )


_ARRAYS = ("ids", "lengths", "document", "start")


def _write(folder: Path, arrays: dict[str, np.ndarray], document_ids: list[str]) -> None:
    for name in _ARRAYS:
        np.save(folder / f"{name}.npy", arrays[name], allow_pickle=False)
    write_json(folder / "documents.json", document_ids)


def _sequences(
    corpus: Corpus, tokenizer: TextTokenizer, config: PackConfig, policy: MaskPolicy, progress: Progress
) -> tuple[dict[str, np.ndarray], list[str]]:
    """Arrays of the packed text and the ids of its documents."""
    progress.phase(f"tokenise {corpus.name}", unit="document")
    head = [tokenizer.bos_id] if policy.prepend_bos and tokenizer.bos_id is not None else []
    room = config.sequence_length - len(head)
    filler = tokenizer.eos_id if tokenizer.eos_id is not None else 0
    rows: list[np.ndarray] = []
    lengths, document, start, document_ids = [], [], [], []
    for name, tokens in _tokenised(corpus, tokenizer, config, progress):
        found = [s for s in range(0, len(tokens), room) if min(room, len(tokens) - s) >= config.min_tokens]
        for first in found:
            window = head + tokens[first : first + room]
            row = np.full(config.sequence_length, filler, dtype=np.int32)
            row[: len(window)] = window
            rows.append(row)
            lengths.append(len(window))
            document.append(len(document_ids))
            start.append(first)
        if found:
            document_ids.append(name)
    if not rows:
        raise TextError(f"{corpus.name} gives no sequence", found=f"no document has {config.min_tokens} tokens")
    keep = _chosen(len(rows), config)
    arrays = {"ids": np.stack([rows[i] for i in keep])}
    for name, values in (("lengths", lengths), ("document", document), ("start", start)):
        arrays[name] = np.asarray(values, dtype=np.int32)[keep]
    return arrays, document_ids


def _chosen(total: int, config: PackConfig) -> np.ndarray:
    if config.max_sequences is None or config.max_sequences >= total:
        return np.arange(total)
    order = torch.randperm(total, generator=generator(config.seed, "sequences"))
    return np.sort(order[: config.max_sequences].numpy())


def _tokenised(
    corpus: Corpus, tokenizer: TextTokenizer, config: PackConfig, progress: Progress
) -> Iterator[tuple[str, list[int]]]:
    documents = islice(corpus.documents(), config.max_documents)
    while batch := list(islice(documents, _BATCH)):
        names, texts = zip(*batch, strict=True)
        yield from zip(names, tokenizer.encode_batch(texts), strict=True)
        progress.advance(len(batch))
