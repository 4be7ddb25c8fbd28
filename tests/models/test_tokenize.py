"""The tokenizer door: printable pieces, BOS by policy, chat, hashes."""

import pytest
from hypothesis import given, strategies as st
from tokenizers import Tokenizer as Backend, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from workbench.core import ModelError, TextError
from workbench.models import Tokenizer, WordTokenizer, load_tokenizer

from .folders import BYTE_TOKENS

TEMPLATE = "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{% endfor %}<assistant>"


def byte_level(**settings) -> PreTrainedTokenizerFast:
    """Byte-level BPE over single bytes and ` the`."""
    merges = [("Ġ", "t"), ("Ġt", "h"), ("Ġth", "e"), ("Ġ", "Ġ")]
    backend = Backend(models.BPE({token: i for i, token in enumerate(BYTE_TOKENS)}, merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    names = {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "additional_special_tokens": ["<|endoftext|>"]}
    return PreTrainedTokenizerFast(tokenizer_object=backend, **{**names, **settings})


def sentencepiece() -> PreTrainedTokenizerFast:
    """Pieces with the mark for a space, and bytes as <0xNN>."""
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256)), "▁", "a", "b", "▁a"]
    vocab = {piece: i for i, piece in enumerate(pieces)}
    backend = Backend(models.BPE(vocab, [("▁", "a")], unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    backend.normalizer = normalizers.Replace(" ", "▁")
    backend.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    return PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


@given(st.text(alphabet=st.characters(codec="ascii", exclude_characters="\x00"), max_size=40))
def test_ascii_pieces_join_to_the_text(text):
    tokenizer = _BYTES
    ids = tokenizer.encode(text)
    assert "".join(tokenizer.strings(ids)) == text
    assert tokenizer.decode(ids) == text


@given(st.text(max_size=20))
def test_any_text_has_one_printable_string_per_token_and_decodes(text):
    text = text.encode("utf-8", "ignore").decode()
    ids = _BYTES.encode(text)
    assert len(_BYTES.strings(ids)) == len(ids)
    assert _BYTES.decode(ids) == text


_BYTES = Tokenizer(byte_level())


def test_leading_spaces_and_broken_characters():
    assert _BYTES.strings(_BYTES.encode("a the  é")) == ["a", " the", " ", " ", r"\xc3", r"\xa9"]


def test_special_tokens_are_shown_as_they_are():
    ids = _BYTES.encode("a<|im_end|>b")
    assert _BYTES.strings(ids) == ["a", "<|im_end|>", "b"]
    assert _BYTES.special_ids == {0, 1, 2}


def test_pieces_of_sentencepiece_tokenizers():
    tokenizer = Tokenizer(sentencepiece())
    ids = tokenizer.encode("b a aé")
    assert tokenizer.strings(ids) == ["b", " a", " a", r"\xc3", r"\xa9"]
    assert tokenizer.strings([tokenizer.bos_id, *ids])[0] == "<s>"


def test_nothing_is_added_even_where_the_tokenizer_would():
    fast = byte_level()
    from tokenizers import processors

    fast.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<|im_start|> $A", special_tokens=[("<|im_start|>", 1)]
    )
    assert fast("a").input_ids[0] == 1
    assert Tokenizer(fast).strings(Tokenizer(fast).encode("a")) == ["a"]


def test_bos_is_the_prefix_then_bos_then_end_of_text():
    assert Tokenizer(byte_level(), "<|endoftext|>").bos_id == 0
    assert Tokenizer(byte_level()).bos_id == 1
    assert Tokenizer(byte_level(bos_token=None)).bos_id == 2
    assert Tokenizer(byte_level(bos_token=None, eos_token=None)).bos_id is None
    with pytest.raises(ModelError, match=r"wanted the prefix token '<\|x\|>'"):
        Tokenizer(byte_level(), "<|x|>")


def test_the_hash_follows_what_decides_ids(tmp_path):
    plain = Tokenizer(byte_level()).hash
    assert Tokenizer(byte_level()).hash == plain
    assert Tokenizer(byte_level(), "<|endoftext|>").hash != plain
    spaced = byte_level()
    spaced.backend_tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    assert Tokenizer(spaced).hash != plain
    _BYTES.save(tmp_path)
    assert load_tokenizer(tmp_path).hash == plain
    used = Tokenizer(byte_level(pad_token="<|im_end|>"))
    used.fast(["a", "the the"], padding=True, truncation=True, max_length=2)
    assert used.hash == plain


def test_chat_templates():
    with pytest.raises(ModelError, match="wanted a chat template"):
        _BYTES.chat([{"role": "user", "content": "hi"}])
    fast = byte_level()
    fast.chat_template = TEMPLATE
    assert Tokenizer(fast).chat([{"role": "user", "content": "hi"}]) == "<user>hi<assistant>"
    fast.chat_template = "{{ raise_exception('roles must alternate') }}"
    with pytest.raises(TextError, match="roles must alternate"):
        Tokenizer(fast).chat([{"role": "user", "content": "hi"}])


def test_only_fast_tokenizers():
    with pytest.raises(ModelError, match="wanted a fast tokenizer. found object"):
        Tokenizer(object())


def test_words(tmp_path):
    words = WordTokenizer(["<bos>", "the", "man", "saw", "."])
    ids = words.encode("the man  saw\nthe .")
    assert ids == [1, 2, 3, 1, 4]
    assert words.strings(ids) == ["the", " man", " saw", " the", " ."]
    assert words.strings([0, *ids])[:2] == ["<bos>", "the"]
    assert words.encode(" man") == [2]
    assert (words.bos_id, words.eos_id, words.vocab_size, words.special_ids) == (0, None, 5, {0})
    with pytest.raises(TextError, match="this model knows no word 'mann'. did you mean man"):
        words.encode("the mann")
    words.save(tmp_path)
    again = load_tokenizer(tmp_path)
    assert again.hash == words.hash
    assert again.strings(again.encode("the man")) == ["the", " man"]


@pytest.mark.parametrize("vocabulary", [["<bos>", "a", "a"], ["<bos>", "two words"], ["a"], ["<bos>", ""]])
def test_vocabularies_that_cannot_be(vocabulary):
    with pytest.raises(ModelError):
        WordTokenizer(vocabulary)


@pytest.mark.real
def test_the_real_tokenizer(smollm2):
    tokenizer = smollm2.tokenizer
    pieces = tokenizer.strings(tokenizer.encode("In  1732, Zürich was"))
    assert "".join(pieces) == "In  1732, Zürich was"
    assert pieces[:7] == ["In", "  ", "1", "7", "3", "2", ","]
    assert tokenizer.chat([{"role": "user", "content": "hi"}]).endswith("<|im_end|>\n<|im_start|>assistant\n")
