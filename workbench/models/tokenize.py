"""Tokenizer: the one door to tokenizers, so that BOS, special tokens and printable pieces mean one thing."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from workbench.core import ModelError, TextError, nearest

from . import quiet

_BYTE_PIECE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


def _byte_of_character() -> dict[str, int]:
    """The byte that each character of a byte-level BPE piece stands for (GPT-2's table)."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table = {chr(byte): byte for byte in visible}
    hidden = (byte for byte in range(256) if byte not in visible)
    return table | {chr(256 + i): byte for i, byte in enumerate(hidden)}


_BYTES = _byte_of_character()


class Tokenizer:
    """A Hugging Face fast tokenizer seen through one small door.

    Args:
        fast: the tokenizer of transformers; only its vocabulary and templates are used, never its BOS habits.
        prefix: the token that a MaskPolicy's BOS means; by default the tokenizer's BOS, else its end-of-text.

    Raises:
        ModelError: it is no fast tokenizer, or `prefix` is not one of its tokens.
    """

    def __init__(self, fast: Any, prefix: str | None = None) -> None:
        if not getattr(fast, "is_fast", False):
            raise ModelError(
                "wanted a fast tokenizer",
                found=f"found {type(fast).__name__}",
                hint="save it with a tokenizer.json (transformers converts most tokenizers on saving)",
            )
        self.fast = fast
        self.prefix = prefix
        self.eos_id: int | None = fast.eos_token_id
        self.bos_id: int | None = fast.bos_token_id if fast.bos_token_id is not None else fast.eos_token_id
        if prefix is not None:
            found = fast.get_vocab().get(prefix)
            if found is None:
                raise ModelError(f"wanted the prefix token {prefix!r}", found="the tokenizer has no such token")
            self.bos_id = found

    @property
    def vocab_size(self) -> int:
        """Known tokens; a model's unembedding may be padded to more."""
        return len(self.fast)

    @cached_property
    def special_ids(self) -> frozenset[int]:
        """Ids of control tokens: declared ones, those flagged special, and the prefix."""
        added = self.fast.added_tokens_decoder.items()
        ids = {*self.fast.all_special_ids, *(index for index, token in added if token.special)}
        return frozenset(ids | ({self.bos_id} if self.bos_id is not None else set()))

    def encode(self, text: str) -> list[int]:
        """Token ids of a text; nothing is added. Special tokens written out in the text count as such."""
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """`encode` for many texts at once, on every core."""
        with quiet.silenced():
            return self.fast(list(texts), add_special_tokens=False, return_attention_mask=False)["input_ids"]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of some ids, special tokens included."""
        return self.fast.decode([int(i) for i in ids], skip_special_tokens=False, clean_up_tokenization_spaces=False)

    def strings(self, ids: Iterable[int]) -> list[str]:
        r"""One printable text per token: leading spaces kept, bytes that are no character alone as `\xNN`."""
        ids = [int(i) for i in ids]
        pieces = self.fast.convert_ids_to_tokens(ids)
        readable = {"bytes": _read_bytes, "pieces": _read_piece}
        if self._style in readable:
            read = readable[self._style]
            return [
                piece if i in self._verbatim else read(piece or f"<{i}>") for i, piece in zip(ids, pieces, strict=True)
            ]
        special = self.special_ids
        starts = [n > 0 and ids[n - 1] not in special and i not in special for n, i in enumerate(ids)]
        return [_read_word(piece or f"<{i}>", start) for i, piece, start in zip(ids, pieces, starts, strict=True)]

    @cached_property
    def _verbatim(self) -> frozenset[int]:
        """Added tokens are stored as the text they stand for."""
        return frozenset(self.fast.added_tokens_decoder)

    @cached_property
    def _style(self) -> str:
        """How pieces are spelt: `bytes` (byte-level BPE), `pieces` (sentencepiece) or `words`."""
        decoder = self._description["decoder"] or {}
        kinds = {part.get("type") for part in [decoder, *decoder.get("decoders", [])]}
        if "ByteLevel" in kinds:
            return "bytes"
        return "pieces" if kinds & {"Metaspace", "ByteFallback"} else "words"

    @cached_property
    def _description(self) -> dict[str, Any]:
        return json.loads(self.fast.backend_tokenizer.to_str())

    @property
    def hash(self) -> str:
        """Hex sha256 over all that decides ids: vocabulary, merges, pre-tokenizer, special tokens, template."""
        return self._hash

    @cached_property
    def _hash(self) -> str:
        parts = {name: self._description[name] for name in ("model", "normalizer", "pre_tokenizer", "added_tokens")}
        parts |= {"bos": self.bos_id, "eos": self.eos_id, "template": self.fast.chat_template}
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def chat(self, messages: Sequence[Mapping[str, str]]) -> str:
        """The prompt for a conversation (`{"role": ..., "content": ...}`), ready for the assistant's turn.

        Raises:
            ModelError: the tokenizer has no chat template.
            TextError: the template does not take these messages.
        """
        if not self.fast.chat_template:
            raise ModelError("wanted a chat template", found="this model's tokenizer has none", hint="give plain text")
        try:
            return self.fast.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)
        except Exception as error:  # templates are programs of their own and raise what they like
            raise TextError("the chat template does not take these messages", found=str(error)) from None

    def save(self, folder: Path) -> None:
        """Write tokenizer.json and its companions into a folder."""
        self.fast.save_pretrained(folder)


class WordTokenizer(Tokenizer):
    """One token per word, for tiny and planted models; words are separated by white space.

    Args:
        words: every token, in the order of its id; `bos` must be one of them.

    Raises:
        ModelError: a word is given twice, holds white space, or `bos` is missing.
    """

    def __init__(self, words: Sequence[str], bos: str = "<bos>", eos: str | None = None) -> None:
        from tokenizers import Tokenizer as Backend, models, pre_tokenizers
        from transformers import PreTrainedTokenizerFast

        if len(set(words)) < len(words) or any(not word or re.search(r"\s", word) for word in words):
            raise ModelError("a vocabulary of words holds each once, without white space")
        missing = [word for word in (bos, eos) if word is not None and word not in words]
        if missing:
            raise ModelError(f"wanted {missing[0]!r} among the words", hint="put it first")
        backend = Backend(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token=bos))
        backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        self._known = frozenset(words)
        super().__init__(PreTrainedTokenizerFast(tokenizer_object=backend, bos_token=bos, eos_token=eos))

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of many texts.

        Raises:
            TextError: a word is not in the vocabulary.
        """
        for text in texts:
            for word in text.split():
                if word not in self._known:
                    raise TextError(
                        f"this model knows no word {word!r}", hint=nearest(word, self._known, label="it knows")
                    )
        return super().encode_batch(texts)


def load_tokenizer(folder: Path, prefix: str | None = None) -> Tokenizer:
    """The tokenizer of a model folder; never asks a network.

    Raises:
        ModelError: the folder holds none that can be read.
    """
    from transformers import AutoTokenizer

    try:
        with quiet.silenced():
            fast = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError, ImportError) as error:
        raise ModelError(
            f"cannot read a tokenizer in {folder}",
            found=str(error).splitlines()[0] if str(error) else type(error).__name__,
            hint="put tokenizer.json and tokenizer_config.json beside the weights",
        ) from None
    return Tokenizer(fast, prefix)


def _read_bytes(piece: str) -> str:
    if any(character not in _BYTES for character in piece):
        return piece
    return _printable(bytes(_BYTES[character] for character in piece))


def _read_piece(piece: str) -> str:
    if match := _BYTE_PIECE.fullmatch(piece):
        return _printable(bytes([int(match[1], 16)]))
    return piece.replace("\u2581", " ")


def _read_word(piece: str, follows: bool) -> str:
    if piece.startswith("##"):  # WordPiece continues a word
        return piece[2:]
    return f" {piece}" if follows else piece


def _printable(raw: bytes) -> str:
    return raw.decode("utf-8", errors="backslashreplace")
